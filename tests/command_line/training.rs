//! Training images that stand out, and those that are to be left out.

use super::workshop::{Workshop, good, spotted};

/// Cloth with two spotted pieces among the good ones.
fn spoilt(shop: &Workshop) {
    shop.category("cloth");
    shop.save("cloth/train/good/it's 1.png", &spotted(51, (4, 8)).0);
    shop.save("cloth/train/good/bad2.png", &spotted(52, (40, 36)).0);
}

#[test]
fn what_stands_out_is_named_shown_and_left_out() {
    let shop = Workshop::new();
    spoilt(&shop);
    let fitted = shop.succeeds("fit --data cloth --out b --size 64x64 --report page.html");
    for part in [
        "look at these 2 images",
        "train/good/bad2.png: score ",
        "spreads above",
        "--exclude 'train/good/it'\\''s 1.png'",
    ] {
        assert!(fitted.stdout.contains(part), "no '{part}' in {}", fitted.stdout);
    }
    let page = std::fs::read_to_string(shop.path("page.html")).unwrap();
    assert!(page.contains("2 of 14 images stand out") && page.contains("train/good/bad2.png"));
    // Both with their maps, and six typical ones with theirs.
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 2 * (2 + 6));

    let info = shop.succeeds("info b").stdout;
    assert!(info.contains("stand out") && info.contains("train/good/bad2.png: score "), "{info}");
    let list = shop.succeeds("info --odd b").stdout;
    let mut names: Vec<&str> = list.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["train/good/bad2.png", "train/good/it's 1.png"]);

    shop.write("odd.txt", list.as_bytes());
    let spoilt = shop.manifest("b")["calibration"]["threshold"].as_f64().unwrap();
    let result = shop.succeeds("fit --data cloth --exclude @odd.txt --out b --size 64x64 --json").json();
    assert_eq!(result["manifest"]["training"]["images"], 12);
    assert_eq!(result["manifest"]["training"]["settings"]["exclude"].as_array().unwrap().len(), 2);
    assert_eq!(result["odd_images"], serde_json::json!([]));
    assert!(result["manifest"]["calibration"]["threshold"].as_f64().unwrap() < spoilt);
    assert!(shop.succeeds("info b").stdout.contains("excluded        train/good/"));
    assert_eq!(shop.succeeds("info --odd b").stdout, "");
}

#[test]
fn what_is_not_there_cannot_be_left_out() {
    let shop = Workshop::new();
    shop.good("cloth", 4, 1);
    let fit = "fit --data cloth --out b --size 64x64";
    shop.fails(&format!("{fit} --exclude 9*.png")).says(&[
        "--exclude 9*.png",
        "no image to learn from is called that",
        "such as 000.png",
    ]);
    shop.fails(&format!("{fit} --exclude @list.txt")).says(&["list.txt"]);
    shop.fails(&format!("{fit} --exclude *.png")).says(&["leaves out all 4 images"]);
    shop.fails(&format!("{fit} --report no/such/page.html")).says(&["--report", "no folder no/such"]);
    assert_eq!(shop.entries("."), ["cloth"]);
    let fitted = shop.succeeds(&format!("{fit} --exclude 003.png"));
    fitted.says(&["1 images are left out as --exclude says"]);
    assert!(fitted.stdout.contains("learned from 3 images"), "{}", fitted.stdout);
}

#[test]
fn copies_are_learned_once() {
    let shop = Workshop::new();
    for i in 0..20 {
        shop.save(&format!("cloth/{i:02}.png"), &good(i % 5));
    }
    for i in 0..5 {
        shop.save(&format!("clean/{i:02}.png"), &good(i));
    }
    let fitted = shop.fit("cloth", "b");
    fitted.says(&["15 of 20 images are copies of others, byte for byte, and left out"]);
    assert!(fitted.stdout.contains("learned from 5 images, 15 left out as copies"), "{}", fitted.stdout);
    shop.fit("clean", "clean.bundle");
    assert_eq!(shop.manifest("b")["calibration"], shop.manifest("clean.bundle")["calibration"]);
    assert_eq!(shop.manifest("b")["training"]["copies"], 15);
    assert!(shop.manifest("clean.bundle")["training"].get("copies").is_none());
}
