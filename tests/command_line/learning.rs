//! The learned branch: presets, repeatability, interruption, real defects, and samples to look at.

use crate::workshop::{Workshop, good};
use std::process::{Command, Stdio};

const FIT: &str = "fit --data cloth --size 64x64 --preset faster --batch 2 --foreground off";

#[test]
fn a_learned_bundle_says_how_it_was_made() {
    let shop = Workshop::new();
    shop.category("cloth");
    let fitted = shop.succeeds(&format!("{FIT} --steps 4 --out a.bundle"));
    fitted.says(&["learning: 4", "loss", "making training samples"]);
    let manifest = shop.manifest("a.bundle");
    assert_eq!((&manifest["preset"], &manifest["training"]["steps"]), (&"faster".into(), &4.into()));
    assert_eq!(manifest["params"]["scales"][0]["channels"], 16);
    let branch = &manifest["training"]["branch"];
    assert_eq!((&branch["channels"], &branch["batch"]), (&16.into(), &2.into()));
    assert_eq!((&branch["kind"], &branch["curve"][3]["step"]), (&"texture".into(), &4.into()));
    let told = shop.succeeds("info a.bundle").stdout;
    for part in ["cpr, faster", "16 channels, 4 steps of batch 2", "built-in: procedural textures"] {
        assert!(told.contains(part), "no '{part}' in {told}");
    }
    let judged = shop.succeeds("eval --model a.bundle --data cloth --report report.html").stdout;
    assert!(judged.contains("image AUROC"), "{judged}");
    let ablated = shop.succeeds("eval --model a.bundle --data cloth --ablate --json -").json();
    assert_eq!(ablated["ablation"].as_array().unwrap().len(), 1);
    assert_eq!(ablated["ablation"][0]["without"], "coarser scales");
    assert_ne!(ablated["ablation"][0]["pixel_auroc"], ablated["pixel_auroc"]);
    let report = std::fs::read_to_string(shop.path("report.html")).unwrap();
    assert!(report.contains("Learning") && report.contains("16 channels, 4 steps of batch 2"));

    shop.succeeds(&format!("{FIT} --steps 4 --out b.bundle"));
    assert!(shop.bundle("a.bundle") == shop.bundle("b.bundle"), "the same seed gives another bundle");
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_end() {
    let shop = Workshop::new();
    shop.category("cloth");
    let mut command = Command::new(shop.command("").get_program());
    let arguments = format!("{FIT} --steps 150 --out a.bundle");
    command.args(arguments.split_whitespace()).current_dir(shop.path("")).stderr(Stdio::piped());
    let mut fit = command.env("SOURCE_DATE_EPOCH", "1700000000").spawn().unwrap();
    // The last line before the branch learns.
    let mut stderr = std::io::BufReader::new(fit.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("making training samples: 600 in") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut stderr, &mut line).unwrap() > 0, "the fit has ended");
    }
    // SAFETY: the child has not been waited for, so its number is still its own.
    assert_eq!(unsafe { libc::kill(fit.id() as libc::pid_t, libc::SIGINT) }, 0);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap();
    assert_eq!(fit.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("a.bundle.checkpoint") && rest.contains("--resume"), "{rest}");
    assert_eq!(shop.entries("."), ["a.bundle.checkpoint", "cloth"]);

    let other = shop.fails(&format!("{FIT} --steps 150 --seed 9 --resume --out a.bundle"));
    other.says(&["a.bundle.checkpoint", "another training", "seed"]);
    let resumed = shop.succeeds(&format!("{FIT} --steps 150 --resume --out a.bundle"));
    resumed.says(&["going on after step"]);
    assert_eq!(shop.entries("."), ["a.bundle", "cloth"]);
    shop.succeeds(&format!("{FIT} --steps 150 --out b.bundle"));
    assert!(shop.bundle("a.bundle") == shop.bundle("b.bundle"), "the interruption has left a trace");
}

#[test]
fn real_defects_are_learned_from_and_no_test_images_any_more() {
    let shop = Workshop::new();
    shop.category("cloth");
    for (name, value) in [("empty", 0), ("full", 255)] {
        shop.save(&format!("spots/{name}.png"), &good(1));
        let mask = image::RgbImage::from_pixel(64, 64, image::Rgb([value; 3]));
        shop.save(&format!("spots/{name}_mask.png"), &mask);
    }
    let nothing = shop.fails(&format!("{FIT} --steps 2 --defects spots --out a.bundle"));
    nothing.says(&["spots", "marks no pixel", "marks every pixel", "no defective image with a usable mask"]);
    let missing = shop.fails(&format!("{FIT} --steps 2 --defects cloth/train/good --out a.bundle"));
    missing.says(&["cloth/train/good", "NAME_mask.png"]);
    std::fs::copy(shop.path("cloth/test/spot/000.png"), shop.path("spots/real.png")).unwrap();
    let mask = "cloth/ground_truth/spot/000_mask.png";
    std::fs::copy(shop.path(mask), shop.path("spots/real_mask.png")).unwrap();

    shop.succeeds(&format!("{FIT} --steps 2 --defects spots --out a.bundle")).says(&["left out"]);
    let defects = &shop.manifest("a.bundle")["training"]["branch"]["defects"];
    assert_eq!((defects.as_array().unwrap().len(), &defects[0]["name"]), (1, &"real.png".into()));
    assert!(shop.succeeds("info a.bundle").stdout.contains("real.png"));
    let refused = shop.fails("eval --model a.bundle --data cloth");
    refused.says(&["test/spot/000.png", "has learned from this image", "real.png"]);
    std::fs::remove_file(shop.path("cloth/test/spot/000.png")).unwrap();
    shop.succeeds("eval --model a.bundle --data cloth");
}

#[test]
fn what_cannot_be_learned_from_is_an_error() {
    let shop = Workshop::new();
    shop.good("one", 1, 1);
    shop.good("few", 3, 1);
    shop.write("empty/readme.txt", b"no texture");
    let fit = |rest: &str| shop.fails(&format!("fit --size 64x64 --preset faster --out b {rest}"));
    fit("--data one").says(&["1 good image is not enough"]);
    fit("--data few --textures empty").says(&["empty", "no texture images"]);
    fit("--data few --textures none").says(&["none", "no such folder"]);
    fit("--data few --batch 0").says(&["batch must be 1 to"]);
    fit("--data few --lr 0").says(&["learning rate must be above 0"]);
    fit("--data few --resume").says(&["b.checkpoint", "no training to go on with"]);
    fit("--data few --lr 1e30 --steps 40 --batch 2 --foreground off").says(&["diverged", "--lr"]);
    for option in ["--batch 2", "--lr 0.1", "--minutes 1", "--textures t", "--defects d", "--resume"] {
        shop.refuses(&format!("fit --data few --out b {option}"))
            .says(&["--preset standard, fast or faster"]);
    }
    assert_eq!(shop.entries("."), ["empty", "few", "one"]);
}

#[test]
fn images_of_different_sizes_are_learned_from() {
    let shop = Workshop::new();
    shop.good("good", 3, 1);
    shop.save(
        "good/wide.png",
        &image::imageops::resize(&good(7), 100, 40, image::imageops::FilterType::Nearest),
    );
    shop.succeeds("fit --data good --size 96x64 --preset faster --steps 2 --batch 2 --out b");
    assert_eq!(shop.manifest("b")["training"]["images"], 4);
}

#[test]
fn samples_can_be_looked_at() {
    let shop = Workshop::new();
    shop.category("cloth");
    let told = shop.succeeds("synthesize --data cloth --out samples --count 6 --size 64x64 --kind texture");
    assert!(told.stdout.contains("6 samples") && told.stdout.contains("sheet.png"), "{}", told.stdout);
    assert!(shop.path("samples/sheet.png").exists());
    let json = shop
        .succeeds("synthesize --data cloth --textures cloth/train --out more --count 3 --size 64x64 --json");
    assert_eq!(json.json()["samples"], 3);
    assert!(json.json()["textures"].as_str().unwrap().contains("12 images of the folder 'train'"));
    shop.fails("synthesize --data cloth --out samples").says(&["is there already"]);
}
