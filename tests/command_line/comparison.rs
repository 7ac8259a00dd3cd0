//! `adtrain compare`: several methods on one product, each as `fit` and `eval` have it.

use crate::workshop::{Workshop, good, read_json};

const METHODS: &str = "--size 64x64 --methods cpr,patchcore:coreset=0.1,hetmm:sheets=4,npad \
                       --set npad.channels=20 --set npad.centroids=0.01";

#[test]
fn methods_are_compared_as_fit_and_eval_have_them() {
    let shop = Workshop::new();
    shop.category("cloth");
    let compared = shop.succeeds(&format!("compare --data cloth {METHODS} --out out"));
    compared.says(&["cpr: filling the bank: 12", "npad: judging the images: 8", "drawing examples: 32"]);
    let bundles =
        ["cpr", "hetmm-sheets-4", "npad", "patchcore-coreset-0.1"].map(|name| format!("{name}.bundle"));
    let mut names: Vec<String> = ["compare.html", "compare.json", "compare.md"].map(Into::into).into();
    names.extend(bundles);
    names.sort();
    assert_eq!(shop.entries("out"), names);

    let result = read_json(&shop.path("out/compare.json"));
    assert_eq!((&result["dataset"], &result["date"]), (&"cloth".into(), &"2023-11-14".into()));
    let methods = result["methods"].as_array().unwrap();
    let order: Vec<&str> = methods.iter().map(|method| method["name"].as_str().unwrap()).collect();
    assert_eq!(order, ["cpr", "patchcore:coreset=0.1", "hetmm:sheets=4", "npad"]);
    for method in methods {
        assert!(method["fit_seconds"].as_f64().unwrap() > 0.0 && method["bank_bytes"].as_u64().unwrap() > 0);
        let bundle = format!("out/{}", method["bundle"].as_str().unwrap());
        let alone = shop.succeeds(&format!("eval --model {bundle} --data cloth --json -")).json();
        for key in
            ["image_auroc", "pixel_ap", "pro30", "threshold", "false_alarm_rate", "miss_rate", "per_image"]
        {
            assert_eq!(method[key], alone[key], "{bundle}: {key}");
        }
    }
    shop.succeeds("fit --data cloth --method patchcore --coreset 0.1 --size 64x64 --out alone.bundle");
    assert!(shop.bundle("alone.bundle") == shop.bundle("out/patchcore-coreset-0.1.bundle"));

    let table = std::fs::read_to_string(shop.path("out/compare.md")).unwrap();
    assert!(compared.stdout.starts_with(&table) && compared.stdout.contains("out/compare.html"));
    for row in ["| method ", "| cpr ", "| npad ", "12 good images to learn from, 4 good and 4 defective"] {
        assert!(table.contains(row), "no '{row}' in {table}");
    }
    let page = std::fs::read_to_string(shop.path("out/compare.html")).unwrap();
    assert!(
        !page.contains("<script") && page.matches("alt=\"anomaly map of ").count() == 32,
        "8 images, 4 methods"
    );
    for part in ["patchcore:coreset=0.1", "Bank, MB", "efficientnet-lite0", "test/spot/000.png", "test/good/"]
    {
        assert!(page.contains(part), "no '{part}' in the page");
    }
}

#[test]
fn a_network_of_bytes_is_a_row_of_its_own() {
    let shop = Workshop::new();
    shop.category("cloth");
    let bytes = "compare --data cloth --size 64x64 --methods cpr:precision=int8 --out out";
    let compared = shop.succeeds(&format!("{bytes} --json"));
    compared.says(&["cpr:precision=int8: measuring the network's values: 12"]);
    let row = &compared.json()["methods"][0];
    assert_eq!((&row["image_auroc"], &row["backbone"]["precision"]), (&1.0.into(), &"int8".into()));
    let fitted = shop.succeeds("fit --data cloth --size 64x64 --precision int8 --out alone.bundle");
    assert!(fitted.stdout.contains("efficientnet-lite0 in bytes at 64x64"), "{}", fitted.stdout);
    assert!(shop.bundle("alone.bundle") == shop.bundle("out/cpr-precision-int8.bundle"));
    let info = shop.succeeds("info alone.bundle");
    assert!(info.stdout.contains("computes with   bytes (--precision int8)"), "{}", info.stdout);
    let page = std::fs::read_to_string(shop.path("out/compare.html")).unwrap();
    assert!(page.contains("efficientnet-lite0 in bytes stride8+stride16, 64x64"));

    let again = shop.succeeds(&format!("{bytes} --resume"));
    assert!(!again.stderr.contains("filling the bank"), "{}", again.stderr);
    shop.refuses("fit --data cloth --precision int4 --out other.bundle").says(&["f32", "int8"]);
}

#[test]
fn a_method_that_fails_is_a_row_with_its_reason() {
    let shop = Workshop::new();
    shop.category("cloth");
    for i in 2..12 {
        std::fs::remove_file(shop.path(&format!("cloth/train/good/{i:03}.png"))).unwrap();
    }
    let compared = shop.fails("compare --data cloth --size 64x64 --methods npad,cpr --out out --json");
    compared.says(&["note: npad: failed: fit: 2 good images are not enough", "1 of 2 methods failed: npad"]);
    let result = compared.json();
    assert_eq!(result, read_json(&shop.path("out/compare.json")));
    assert!(result["methods"][0]["failed"].as_str().unwrap().contains("at least 3"), "{result:#}");
    assert_eq!(
        (&result["methods"][1]["image_auroc"], &result["methods"][1]["failed"]),
        (&1.0.into(), &().into())
    );
    assert_eq!(shop.entries("out"), ["compare.html", "compare.json", "compare.md", "cpr.bundle"]);
    let table = std::fs::read_to_string(shop.path("out/compare.md")).unwrap();
    assert!(table.contains("- npad: fit: 2 good images are not enough"), "{table}");
    assert!(table.contains("Note: With so few good images to learn from (2)"), "{table}");
    let page = std::fs::read_to_string(shop.path("out/compare.html")).unwrap();
    assert!(page.contains("2 good images are not enough") && page.contains("With so few good images"));

    shop.fails("compare --data cloth --size 64x64 --methods npad --out none")
        .says(&["1 of 1 methods failed"]);
    assert_eq!(shop.entries("none"), ["compare.html", "compare.json", "compare.md"]);
}

#[test]
fn what_was_learned_from_is_told_among_the_results() {
    let shop = Workshop::new();
    shop.category("cloth");
    std::fs::copy(shop.path("cloth/train/good/005.png"), shop.path("cloth/test/good/900.png")).unwrap();
    let result = shop.succeeds("compare --data cloth --size 64x64 --methods cpr --out out --json -q").json();
    assert_eq!(result["methods"][0]["images"]["learned_from"], 1);
    for file in ["out/compare.md", "out/compare.html"] {
        let text = std::fs::read_to_string(shop.path(file)).unwrap();
        assert!(text.contains("1 of the 9 test images are among those that were learned from"), "{file}");
    }
}

#[test]
fn bundles_are_replaced_and_only_resume_takes_them_as_they_are() {
    let shop = Workshop::new();
    shop.category("cloth");
    let compare = |rest: &str| {
        shop.succeeds(&format!(
            "compare --data cloth --size 64x64 --methods cpr:neighbours=4 --out out {rest}"
        ))
    };
    compare("");
    let first = shop.bundle("out/cpr-neighbours-4.bundle");
    compare("").says(&["out/cpr-neighbours-4.bundle is replaced", "filling the bank: 12"]);
    assert!(shop.bundle("out/cpr-neighbours-4.bundle") == first);

    let resumed = compare("--resume --json");
    resumed.says(&["cpr:neighbours=4: out/cpr-neighbours-4.bundle of 2023-11-14 is taken as it is"]);
    assert!(!resumed.stderr.contains("filling the bank"));
    assert!(resumed.json()["methods"][0]["fit_seconds"].is_null());
    compare("--resume --seed 3")
        .says(&["is replaced: it was fitted with another seed", "filling the bank: 12"]);
    compare("--resume --seed 3 --set cpr.global.codes=5").says(&["another global.codes"]);
    compare("--resume --seed 3 --set cpr.blur_sigma=3").says(&["another global.codes"]);
    compare("--resume --seed 3 --set cpr.blur_sigma=3.0").says(&["is taken as it is"]);
    compare("--resume --seed 3").says(&["another blur_sigma"]);
    compare("--resume --seed 3 --foreground off").says(&["another foreground"]);
    shop.succeeds("calibrate --model out/cpr-neighbours-4.bundle --normal cloth/test/good");
    compare("--resume --seed 3 --foreground off")
        .says(&["is replaced: its threshold was set by 'adtrain calibrate'"]);
    // As many as before, one of them another.
    shop.save("cloth/train/good/003.png", &good(77));
    compare("--resume --seed 3 --foreground off").says(&["another set of images"]);
    compare("--resume --seed 3 --foreground off").says(&["is taken as it is"]);
    shop.good("cloth/train/good", 13, 5);
    compare("--resume --seed 3 --foreground off").says(&["another set of images"]);
    shop.write("out/cpr-neighbours-4.bundle/bundle.json", b"no manifest");
    compare("--resume").says(&["is replaced: ", "bundle.json", "filling the bank: 13"]);
}

#[test]
fn what_cannot_be_compared_is_said_before_the_work() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.good("good", 4, 1);
    shop.good("whole/train/good", 4, 1);
    shop.good("whole/test/good", 4, 2);
    shop.write("file", b"");
    for (arguments, parts) in [
        ("--methods magic", ["unknown method 'magic'", "cpr, patchcore, hetmm, npad"]),
        ("--methods npad:faster", ["preset of cpr", "npad has none"]),
        ("--methods cpr:size=100x100", ["cpr:size=100x100", "multiples of 32"]),
        ("--set coreset=0.1", ["coreset", "METHOD.NAME=VALUE"]),
        ("--set magic.coreset=0.1", ["magic", "unknown method"]),
    ] {
        shop.refuses(&format!("compare --data cloth --out out {arguments}")).says(&parts);
    }
    for (arguments, parts) in [
        ("--data cloth --methods cpr,npad,cpr", ["--methods names cpr twice", ""]),
        ("--data cloth --methods cpr --set npad.channels=9", ["npad is not compared", "--methods"]),
        ("--data cloth --resize 80", ["--resize", "--fit crop"]),
        ("--data cloth --methods cpr,npad:channel=9", ["npad:channel=9", "unknown parameter 'channel'"]),
        ("--data cloth --methods npad,cpr:top=1000000", ["cpr:top=1000000", "top must be"]),
        ("--data cloth --methods cpr,cpr:fast:learning.quick=1", ["cpr:fast:learning.quick=1", "unknown"]),
        ("--data cloth --methods npad:channels=9999", ["npad:channels=9999", "channels must be"]),
        ("--data cloth --methods hetmm:layers=a+b", ["hetmm:layers=a+b", "stride4"]),
        ("--data cloth --methods cpr:backbone=nobody", ["cpr:backbone=nobody", "adtrain backbones"]),
        ("--data good", ["good", "test/good and test/DEFECT"]),
        ("--data whole", ["whole", "no defective image"]),
        ("--data nowhere", ["nowhere", "test/good"]),
    ] {
        shop.fails(&format!("compare --out out {arguments}")).says(&parts);
    }
    assert!(shop.entries("out").is_empty(), "{:?}", shop.entries("out"));
    shop.fails("compare --data cloth --out file").says(&["file"]);
}
