//! Data and targets that cannot be used: said clearly, with nothing left behind.

use crate::workshop::{Workshop, good};

/// A fit that must fail, say all of `parts` and leave no bundle.
fn fit_fails(shop: &Workshop, arguments: &str, parts: &[&str]) {
    let before = shop.entries(".");
    shop.fails(&format!("fit --size 64x64 --out b {arguments}")).says(parts);
    assert_eq!(shop.entries("."), before);
}

#[test]
fn folders_without_images() {
    let shop = Workshop::new();
    shop.write("text/readme.txt", b"nothing to see");
    std::fs::create_dir(shop.path("empty")).unwrap();
    std::fs::create_dir_all(shop.path("category/train/bad")).unwrap();
    fit_fails(&shop, "--data missing", &["missing", "no such folder"]);
    fit_fails(&shop, "--data empty", &["empty", "no images"]);
    fit_fails(&shop, "--data text", &["text", "no images", "png"]);
    fit_fails(&shop, "--data text/readme.txt", &["readme.txt", "expected a folder"]);
    fit_fails(&shop, "--data category", &["category/train: ", "train/good", "1 folder without images"]);
}

#[test]
fn a_corrupt_image_is_left_out_or_with_strict_an_error() {
    let shop = Workshop::new();
    shop.category("cloth");
    let whole = std::fs::read(shop.path("cloth/train/good/000.png")).unwrap();
    shop.write("cloth/train/good/005.png", b"this was an image once");
    shop.write("cloth/train/good/half.png", &whole[..whole.len() / 2]);
    shop.write("cloth/train/good/none.jpg", b"");
    fit_fails(&shop, "--data cloth --strict", &["005.png"]);

    let fitted = shop.fit("cloth", "b");
    fitted.says(&["left out", "005.png", "half.png", "none.jpg"]);
    assert!(fitted.stdout.contains("11 images, 3 left out"), "{}", fitted.stdout);
    let training = &shop.manifest("b")["training"];
    assert_eq!((&training["images"], &training["skipped"]), (&11.into(), &3.into()));

    shop.write("cloth/test/spot/001.png", b"no image either");
    let result = shop.succeeds("eval --model b --data cloth --json -");
    result.says(&["left out", "spot/001.png"]);
    let images = &result.json()["images"];
    assert_eq!(
        (&images["good"], &images["defective"], &images["skipped"]),
        (&4.into(), &3.into(), &1.into())
    );
    shop.fails("eval --model b --data cloth --strict").says(&["spot/001.png"]);

    shop.write("broken/a.png", b"no");
    fit_fails(&shop, "--data broken", &["none of the 1 images can be read"]);
}

#[test]
fn few_images() {
    let shop = Workshop::new();
    shop.good("one", 1, 1);
    fit_fails(&shop, "--data one", &["1 good image is not enough", "at least 2"]);

    shop.good("three", 3, 1);
    shop.fit("three", "b").says(&["note: only 3 good images"]);
    assert_eq!(shop.manifest("b")["params"]["neighbours"], 3);
    shop.succeeds("predict --model b three");
}

#[test]
fn identical_images() {
    let shop = Workshop::new();
    for i in 0..6 {
        shop.save(&format!("same/{i}.png"), &good(1));
    }
    shop.fit("same", "b").says(&["5 of 6 images are copies of others"]);
    let text = shop.succeeds("predict --model b same/0.png").stdout;
    assert!(text.trim_end().ends_with("normal"), "an image that it has learned: {text}");
    for i in 0..6 {
        shop.save(&format!("blank/{i}.png"), &image::RgbImage::new(64, 64));
    }
    shop.fit("blank", "blank.bundle");
    let text = shop.succeeds("predict --model blank.bundle blank/0.png").stdout;
    assert!(text.trim_end().ends_with("normal"), "an image that it has learned: {text}");
}

#[test]
fn data_that_cannot_be_evaluated() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    let mask = shop.path("cloth/ground_truth/spot/002_mask.png");
    image::GrayImage::new(32, 64).save(&mask).unwrap();
    shop.fails("eval --model b --data cloth").says(&["002_mask.png", "32x64", "spot/002.png", "64x64"]);

    std::fs::remove_file(&mask).unwrap();
    let result = shop.succeeds("eval --model b --data cloth --json -");
    result.says(&["1 defective image"]);
    assert_eq!(result.json()["images"]["without_mask"], 1);
    shop.fails("eval --model b --data cloth --strict").says(&["spot/002.png", "no mask"]);

    std::fs::copy(shop.path("cloth/train/good/000.png"), shop.path("cloth/test/good/known.png")).unwrap();
    shop.succeeds("eval --model b --data cloth").says(&["has learned from 1 of 9 test images"]);

    shop.good("good/test/good", 2, 1);
    shop.fails("eval --model b --data good").says(&["no defective image"]);
    shop.fails("eval --model b --data cloth/train").says(&["test/good"]);
    shop.fails("eval --model cloth --data cloth").says(&["cloth", "is not a bundle"]);
    shop.fails("eval --model none --data cloth").says(&["none", "no such folder"]);
    shop.fails("eval --model b --data cloth --json none/eval.json").says(&["none/eval.json"]);
    shop.fails("eval --model b --data cloth --report none/report.html").says(&["none/report.html"]);
}

#[test]
fn settings_that_cannot_be_used() {
    let shop = Workshop::new();
    shop.good("good", 4, 1);
    fit_fails(&shop, "--data good --layers stride8,stride99", &["stride99", "stride16"]);
    fit_fails(&shop, "--data good --layers stride8,stride8", &["stride8", "twice"]);
    fit_fails(&shop, "--data good --method patchcore --layers stride8", &["expected 2 layers"]);
    shop.refuses("fit --data good --set learning.loss.power=2 --out b")
        .says(&["--set learning.NAME", "--preset"]);
    fit_fails(&shop, "--data good --preset faster --set learning.outputs=0", &["learning.outputs", "1 to"]);
    fit_fails(&shop, "--data good --sheets 60", &["--sheets is a setting of hetmm, not of cpr"]);
    fit_fails(
        &shop,
        "--data good --method npad --sheets all",
        &["--sheets is a setting of hetmm, not of npad"],
    );
    fit_fails(&shop, "--data good --method hetmm --sheets 4 --set sheets=5", &["--sheets and --set sheets"]);
    fit_fails(&shop, "--data good --set neighbours=3 --set neighbours=4", &["neighbours is given twice"]);
    shop.refuses("fit --data good --out b --contrast -1").says(&["'-1'", "0.1 to 10"]);
    shop.refuses("fit --data good --out b --threads 1000").says(&["1000 is not in 0..=256"]);
    fit_fails(&shop, "--data good --method hetmm --set sheets=2.5", &["'2.5'", "expected a whole number"]);
    fit_fails(
        &shop,
        "--data good --method patchcore --set index=approximate",
        &["'index' is several", "index.kind"],
    );
    fit_fails(&shop, "--data good --method patchcore --coreset -0.1", &["coreset must be more than 0"]);
    fit_fails(&shop, "--data good --method hetmm --foreground on", &["hetmm", "foreground"]);
    fit_fails(&shop, "--data good --method patchcore --preset faster", &["patchcore", "learns no features"]);
    for sheets in ["few", "1"] {
        shop.refuses(&format!("fit --data good --method hetmm --sheets {sheets} --out b"))
            .says(&["expected a number of sheets, such as 60 and at least 2"]);
    }
    fit_fails(&shop, "--data good --method hetmm --set sheets=1", &["sheets must be 2 to"]);
    fit_fails(&shop, "--data good --backbone nobody", &["nobody", "adtrain backbones"]);
    fit_fails(&shop, "--data good --backbone missing.onnx", &["missing.onnx"]);
    fit_fails(&shop, "--data good --set colour=3", &["colour", "neighbours"]);
    fit_fails(&shop, "--data good --set neighbours=many", &["neighbours", "many"]);
    fit_fails(&shop, "--data good --set global.codes=1000", &["global.codes", "255"]);
    fit_fails(&shop, "--data good --set top=100000", &["top", "100000"]);
    fit_fails(&shop, "--data good --device cuda", &["cuda", "not available"]);
}

#[test]
fn targets_that_are_not_ours() {
    let shop = Workshop::new();
    shop.good("good", 4, 1);
    shop.write("thesis/chapter.txt", b"years of work");
    shop.fails("fit --data good --size 64x64 --out thesis").says(&["thesis", "is not a bundle"]);
    assert_eq!(shop.entries("thesis"), ["chapter.txt"]);
    shop.fails("fit --data good --size 64x64 --out thesis/chapter.txt").says(&["chapter.txt", "is a file"]);
    shop.fails("fit --data good --size 64x64 --out thesis/chapter.txt/b").says(&["chapter.txt"]);
    assert_eq!(std::fs::read(shop.path("thesis/chapter.txt")).unwrap(), b"years of work");
    assert_eq!(shop.entries("."), ["good", "thesis"]);
}
