//! How people lay out and name folders: read, or said what of them is not used.

use crate::workshop::{Workshop, good, spotted};
use std::os::unix::fs::symlink;

fn rename(shop: &Workshop, from: &str, to: &str) {
    std::fs::create_dir_all(shop.path(to).parent().unwrap()).unwrap();
    std::fs::rename(shop.path(from), shop.path(to)).unwrap();
}

#[test]
fn what_programs_leave_in_folders_changes_nothing() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    let clean = shop.succeeds("eval --model b --data cloth --json -").json();
    let before = shop.bundle("b");
    let image = std::fs::read(shop.path("cloth/test/spot/000.png")).unwrap();
    for name in [
        "test/.ipynb_checkpoints/000-checkpoint.png",
        "test/__MACOSX/000.png",
        "test/good/._000.png",
        "test/good/@eaDir/0.png",
    ] {
        shop.write(&format!("cloth/{name}"), &image);
        shop.write(&format!("cloth/{}", name.replace("test", "train")), &image);
    }
    for name in
        ["test/.DS_Store", "test/good/Thumbs.db", "train/good/Thumbs.db", "train/.DS_Store", "license.txt"]
    {
        shop.write(&format!("cloth/{name}"), b"litter");
    }
    let fitted = shop.fit("cloth", "b");
    assert!(!fitted.stderr.contains("not used") && !fitted.stderr.contains("left out"), "{}", fitted.stderr);
    assert_eq!(shop.bundle("b"), before);
    let littered = shop.succeeds("eval --model b --data cloth --strict --json -").json();
    for key in ["images", "image_auroc", "pixel_auroc", "per_image"] {
        assert_eq!(littered[key], clean[key]);
    }
    // A folder that is given to predict, too.
    assert_eq!(shop.succeeds("predict --model b cloth/test").stdout.lines().count(), 8);
}

#[test]
fn good_has_several_names() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    let before = shop.bundle("b");
    let judged = shop.succeeds("eval --model b --data cloth --json -").json();
    for (train, test) in
        [("Train/Good", "TEST/OK"), ("train/ok", "test/Normal"), ("TRAIN/NORMAL", "Test/Good")]
    {
        rename(&shop, "cloth/train/good", &format!("other/{train}"));
        rename(&shop, "cloth/test/good", &format!("other/{test}"));
        let kinds = test.split('/').next().unwrap();
        rename(&shop, "cloth/test/spot", &format!("other/{kinds}/Spot"));
        rename(&shop, "cloth/ground_truth/spot", "other/Ground_Truth/SPOT");
        shop.fit("other", "b");
        assert_eq!(shop.bundle("b")[0], before[0], "the bank");
        let found = shop.succeeds("eval --model b --data other --strict --json -").json();
        for key in ["images", "image_auroc", "pixel_auroc", "pro30", "false_alarm_rate", "miss_rate"] {
            assert_eq!(found[key], judged[key], "{train}");
        }
        std::fs::remove_dir_all(shop.path("other")).unwrap();
        shop.category("cloth");
    }
    rename(&shop, "cloth/test/good", "cloth/test/faultless");
    let error = shop.fails("eval --model b --data cloth");
    error.says(&["there is no good image", "test/ok", "test/normal", "faultless, spot"]);
    assert!(!error.stderr.contains("judging"), "before the work: {}", error.stderr);
    rename(&shop, "cloth/train/good", "cloth/train/faultless");
    shop.fails("fit --data cloth --size 64x64 --out x").says(&["train/ok", "faultless (12 images)"]);
}

#[test]
fn folders_within_the_good_ones_are_read() {
    let shop = Workshop::new();
    shop.good("cloth/train/good", 3, 1);
    shop.good("cloth/train/good/monday", 5, 2);
    shop.good("elsewhere", 4, 3);
    symlink(shop.path("elsewhere"), shop.path("cloth/train/good/linked")).unwrap();
    symlink(shop.path("cloth"), shop.path("cloth/train/good/loop")).unwrap();
    shop.succeeds("fit --data cloth --size 64x64 --strict --out b");
    assert_eq!(shop.manifest("b")["training"]["images"], 12);
    // In the folder itself, too.
    shop.succeeds("fit --data cloth/train/good --size 64x64 --strict --out b");
    assert_eq!(shop.manifest("b")["training"]["images"], 12);

    // Of another folder nothing is known.
    shop.good("parts", 4, 4);
    symlink(shop.path("parts"), shop.path("parts/loop")).unwrap();
    shop.succeeds("fit --data parts --size 64x64 --strict --out b");
    shop.good("parts/dented", 3, 5);
    shop.fit("parts", "b")
        .says(&["parts: 3 images are in folders within it not used, such as dented/000.png"]);
    assert_eq!(shop.manifest("b")["training"]["images"], 4);
    shop.fails("fit --data parts --size 64x64 --strict --out x").says(&[
        "3 images",
        "dented/000.png",
        "--strict",
    ]);
    shop.fails("update --model b --add parts --strict").says(&["3 images", "dented/000.png"]);
    shop.fails("calibrate --model b --normal parts --strict").says(&["3 images", "dented/000.png"]);

    shop.good("cloth/train/bad", 2, 6);
    shop.write("cloth/train/good/007.HEIC", b"from a telephone");
    shop.fit("cloth", "b").says(&[
        "2 images are outside of good not learned from, such as bad/000.png",
        "1 file is not used, such as train/good/007.HEIC; images end in png",
    ]);
}

#[test]
fn a_folder_without_images_says_what_is_there() {
    let shop = Workshop::new();
    shop.write("videos/line.mp4", b"x");
    shop.good("sorted/good", 3, 1);
    shop.good("sorted/scratched", 2, 2);
    shop.good("days/monday", 2, 3);
    let fails = |data: &str, parts: &[&str]| {
        shop.fails(&format!("fit --data {data} --size 64x64 --out b")).says(parts)
    };
    fails("videos", &["1 video (line.mp4)", "gst-launch-1.0", "line.mp4"]);
    fails("sorted", &["good (3 images), scratched (2 images)", "name sorted/good"]);
    fails("days", &["monday (2 images)", "name the folder"]);
    shop.good("cloth", 4, 4);
    shop.fit("cloth", "b");
    shop.fails("calibrate --model b --normal videos").says(&["1 video (line.mp4)"]);
    shop.fails("update --model b --add days").says(&["monday (2 images)"]);
    shop.fails("eval --model b --data sorted").says(&["test/good", "good (3 images), scratched (2 images)"]);
    shop.good("mixed", 2, 5);
    shop.write("mixed/line.mp4", b"x");
    shop.succeeds("predict --model b mixed").says(&["1 file is no image by its name", "mixed/line.mp4"]);
}

#[test]
fn masks_are_found_where_data_sets_have_them() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    let expected = shop.succeeds("eval --model b --data cloth --json -").json();
    let same = |data: &str| {
        let found = shop.succeeds(&format!("eval --model b --data {data} --strict --json -")).json();
        for key in ["pixel_auroc", "pixel_ap", "pro30", "image_auroc"] {
            assert_eq!(found[key], expected[key], "{data} {key}");
        }
    };
    // Two masks of an image, each with a half of the defect.
    shop.category("loco");
    for i in 0..4 {
        let mask = shop.path(&format!("loco/ground_truth/spot/{i:03}_mask.png"));
        let whole = image::open(&mask).unwrap().into_luma8();
        std::fs::remove_file(mask).unwrap();
        for (half, rows) in [(0, 0..28), (1, 28..64)] {
            let mut part = whole.clone();
            part.enumerate_pixels_mut()
                .filter(|(_, y, _)| !rows.contains(y))
                .for_each(|(_, _, pixel)| pixel.0 = [0]);
            let file = shop.path(&format!("loco/ground_truth/spot/{i:03}/{half:03}.png"));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            part.save(file).unwrap();
        }
    }
    same("loco");
    shop.category("second");
    rename(&shop, "second/test", "second/test_public");
    rename(&shop, "second/ground_truth", "second/test_public/ground_truth");
    shop.good("second/validation/good", 2, 9);
    same("second");
    shop.fit("second", "b").says(&["validation: 2 images are not learned from"]);

    // Labels 1 of 16 bits as BMP and TIFF.
    shop.category("labels");
    for (i, ending) in ["tif", "png", "tiff", "PNG"].iter().enumerate() {
        let mask = shop.path(&format!("labels/ground_truth/spot/{i:03}_mask.png"));
        let labels = image::open(&mask).unwrap().into_luma8();
        std::fs::remove_file(&mask).unwrap();
        let labels: image::ImageBuffer<image::Luma<u16>, Vec<u16>> =
            image::ImageBuffer::from_fn(labels.width(), labels.height(), |x, y| {
                image::Luma([u16::from(labels.get_pixel(x, y).0[0] > 0)])
            });
        labels.save(mask.with_extension(ending)).unwrap();
    }
    shop.fit("cloth", "b");
    same("labels");

    shop.write("cloth/ground_truth/spots/000_mask.png", b"x");
    shop.write("cloth/ground_truth/spot/000_mask_old.png", b"x");
    shop.succeeds("eval --model b --data cloth").says(&[
        "2 files in ground_truth belong to no test image and were not used, such as ground_truth/spot/000_mask_old.png",
    ]);
    shop.fails("eval --model b --data cloth --strict").says(&["2 files in ground_truth"]);
}

#[test]
fn masks_that_are_black_all_over_are_named() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    let black = |i: usize| {
        let file = shop.path(&format!("cloth/ground_truth/spot/{i:03}_mask.png"));
        image::GrayImage::new(64, 64).save(file).unwrap();
    };
    black(2);
    let found = shop.succeeds("eval --model b --data cloth --json -");
    found.says(&["the mask of 1 defective image is black all over", "ground_truth/spot/002_mask.png"]);
    assert_eq!(found.json()["images"]["empty_masks"], 1);
    assert!(found.json()["pixel_auroc"].as_f64().unwrap() > 0.9);
    shop.fails("eval --model b --data cloth --strict").says(&["002_mask.png", "black all over"]);
    (0..4).for_each(black);
    let found = shop.succeeds("eval --model b --data cloth");
    found.says(&["the masks of 4 defective images are black all over", "000_mask.png"]);
    assert!(
        found.stdout.contains("none: the masks of all defective test images are black"),
        "{}",
        found.stdout
    );
}

#[test]
fn images_of_other_sizes_are_named() {
    let shop = Workshop::new();
    shop.good("mixed", 6, 1);
    shop.save(
        "mixed/banner.png",
        &image::imageops::resize(&good(7), 800, 100, image::imageops::FilterType::Nearest),
    );
    let text = "6 of 64x64, but 1 of 800x100 (mixed/banner.png)";
    shop.fit("mixed", "b").says(&[text, "--exclude"]);
    shop.fails("fit --data mixed --size 64x64 --strict --out x").says(&[text]);
    shop.succeeds("fit --data mixed --size 64x64 --strict --exclude banner.png --out b");
    shop.good("more", 2, 2);
    shop.save(
        "more/large.png",
        &image::imageops::resize(&good(8), 256, 256, image::imageops::FilterType::Nearest),
    );
    shop.fails("update --model b --add more --strict").says(&["2 of 64x64, but 1 of 256x256"]);
    shop.succeeds("update --model b --add more").says(&["2 of 64x64, but 1 of 256x256"]);
}

#[test]
fn a_folder_that_may_not_be_seen_is_not_said_to_be_missing() {
    let shop = Workshop::new();
    // Root may enter any folder; nobody gets through a link to itself.
    symlink("locked", shop.path("locked")).unwrap();
    symlink("gone", shop.path("dangling")).unwrap();
    shop.good("good", 3, 1);
    shop.fit("good", "b");
    for verb in [
        "fit --data locked/cloth --out x",
        "eval --model locked/b --data good",
        "predict --model locked/b good",
        "predict --model b locked/good",
        "info locked/b",
        "update --model locked/b --add good",
        "update --model b --add locked/good",
        "calibrate --model locked/b --normal good",
        "calibrate --model b --normal locked/good",
        "eval --model b --data locked/cloth",
        "fit --data good --preset faster --size 64x64 --textures locked/x --out x",
        "synthesize --data locked/good --out x",
    ] {
        let failed = shop.fails(verb);
        failed.says(&["locked/", "symbolic links"]);
        assert!(!failed.stderr.contains("no such folder"), "{verb}: {}", failed.stderr);
    }
    shop.fails("fit --data dangling --out x").says(&["dangling: is a link that leads nowhere"]);
    shop.fails("fit --data none --out x").says(&["none: no such folder"]);
}

#[test]
fn files_that_cannot_be_read_are_told_of() {
    let shop = Workshop::new();
    shop.good("parts", 4, 1);
    symlink("nowhere.png", shop.path("parts/link.png")).unwrap();
    shop.write("parts/empty.JPG", b"");
    assert!(
        std::process::Command::new("mkfifo").arg(shop.path("parts/pipe.png")).status().unwrap().success()
    );
    std::fs::create_dir(shop.path("parts/folder.png")).unwrap();
    shop.fit("parts", "b").says(&[
        "left out: parts/link.png: is a link that leads nowhere",
        "left out: parts/empty.JPG: not a readable image: the file is empty",
        "left out: parts/pipe.png: expected an image file, found a pipe or a device",
    ]);
    assert_eq!(shop.manifest("b")["training"]["skipped"], 3);
    let (image, _) = spotted(1, (20, 20));
    shop.save("new/0.png", &image);
    symlink("nowhere.png", shop.path("new/link.png")).unwrap();
    shop.fails("predict --model b new")
        .says(&["new/link.png: is a link that leads nowhere", "1 of the paths"]);
}
