//! Results that cannot be written, and names that are not easy to write.

use crate::workshop::{Workshop, good};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};

/// `adtrain` where files have at most so many times 1024 bytes, as on a disk that fills up.
fn on_a_full_disk(shop: &Workshop, blocks: usize, arguments: &str) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {arguments}");
    Command::new("bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_adtrain")])
        .current_dir(shop.path("."))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn scores_are_told_where_heatmaps_cannot_be_written() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    let expected = shop.succeeds("predict --model b cloth/test").stdout;
    let full = on_a_full_disk(&shop, 1, "predict --model b --out maps cloth/test");
    assert_eq!(full.status.code(), Some(1));
    assert_eq!(text(&full.stdout), expected);
    assert!(shop.entries("maps").is_empty(), "{:?}", shop.entries("maps"));
    let errors: Vec<String> =
        text(&full.stderr).lines().filter(|line| line.starts_with("adtrain:")).map(Into::into).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].contains("8 files could not be written, the first: maps/good_000_anomaly.png: "),
        "{errors:?}"
    );

    // One whose name is too long is no reason to lose the others.
    let long = format!("cloth/test/good/{}.png", "x".repeat(245));
    shop.save(&long, &good(9));
    let result = shop.fails("predict --model b --out maps cloth/test/good");
    result.says(&["a file could not be written: maps/xxx", "name too long"]);
    assert_eq!((result.stdout.lines().count(), shop.entries("maps").len()), (5, 4));

    let no_room = Command::new(env!("CARGO_BIN_EXE_adtrain"))
        .args(["predict", "--model", "b", "cloth/test/good"])
        .current_dir(shop.path("."))
        .stdout(std::fs::File::create("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(no_room.status.code(), Some(1));
    let told = text(&no_room.stderr);
    assert_eq!(told.matches("adtrain:").count(), 1, "{told}");
    assert!(told.contains("standard output"), "{told}");
}

#[test]
fn a_report_is_looked_after_before_the_work_and_figures_are_told_in_any_case() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    std::fs::create_dir(shop.path("folder.html")).unwrap();
    for (file, part) in
        [("/proc/r.html", "/proc/r.html"), ("none/r.html", "no folder none"), ("folder.html", "is a folder")]
    {
        for argument in ["--report", "--json"] {
            let failed = shop.fails(&format!("eval --model b --data cloth {argument} {file}"));
            failed.says(&[part]);
            assert!(!failed.stderr.contains("judging"), "{}", failed.stderr);
        }
        let failed = shop.fails(&format!("fit --data cloth --size 64x64 --out c --report {file}"));
        failed.says(&[part]);
        assert!(!failed.stderr.contains("filling"), "{}", failed.stderr);
    }
    let table = shop.succeeds("eval --model b --data cloth").stdout;
    let figures = |text: &str| {
        text.lines().filter(|line| !line.starts_with("time")).map(String::from).collect::<Vec<_>>()
    };
    let full = on_a_full_disk(&shop, 4, "eval --model b --data cloth --report r.html --json r.json");
    assert_eq!(full.status.code(), Some(1));
    assert_eq!(figures(&text(&full.stdout)), figures(&table));
    assert!(text(&full.stderr).contains("r.html"), "{}", text(&full.stderr));
    assert!(!shop.path("r.html").exists());
    assert!(shop.entries(".").iter().all(|name| !name.starts_with(".unfinished")), "{:?}", shop.entries("."));
    // A device stays what it is.
    shop.succeeds("eval --model b --data cloth --report /dev/null --json /dev/null");
    assert!(!std::path::Path::new("/dev/null").is_file());
}

#[test]
fn names_are_one_word_of_a_line_and_the_list_is_that_of_sha256sum() {
    let shop = Workshop::new();
    std::fs::create_dir(shop.path("parts")).unwrap();
    let names: [&[u8]; 6] = [
        b"plain.png",
        b"tab\tin.png",
        b"line\nbreak.png",
        br"back\slash.png",
        b"M\xe4rz.png",
        b"\rreturn.png",
    ];
    for (i, name) in names.iter().enumerate() {
        good(i as u64).save(shop.path("parts").join(OsStr::from_bytes(name))).unwrap();
    }
    shop.fit("parts", "b");
    let check = Command::new("sha256sum")
        .args(["-c", "../b/images.sha256"])
        .current_dir(shop.path("parts"))
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", text(&check.stderr));
    let table = shop.succeeds("predict --model b parts").stdout;
    let mut words: Vec<&str> = table.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert!(table.lines().all(|line| line.split('\t').count() == 5), "{table}");
    words.sort();
    let expected = [
        r"parts/M\xe4rz.png",
        r"parts/\rreturn.png",
        r"parts/back\\slash.png",
        r"parts/line\nbreak.png",
        "parts/plain.png",
        r"parts/tab\tin.png",
    ];
    assert_eq!(words, expected);
    // Known again by their content and by their names.
    shop.succeeds("update --model b --add parts").says(&["6 of 6 images are left out"]);
    shop.succeeds("fit --data parts --size 64x64 --report r.html --exclude plain.png --out b");
    assert_eq!(shop.manifest("b")["training"]["images"], 5);
}

#[test]
fn a_bundle_that_is_cut_off_says_what_to_do() {
    let shop = Workshop::new();
    shop.good("good", 3, 1);
    shop.fit("good", "b");
    let whole = std::fs::read(shop.path("b/bundle.json")).unwrap();
    for (length, problem) in
        [(0, "the file is empty"), (1, "cut off"), (whole.len() / 2, "cut off"), (whole.len() - 2, "cut off")]
    {
        shop.write("b/bundle.json", &whole[..length]);
        for command in ["info b", "predict --model b good", "update --model b --add good"] {
            shop.fails(command).says(&["b/bundle.json", problem, "copy the bundle again", "'adtrain fit'"]);
        }
    }
    shop.write("b/bundle.json", &whole);
    let bank = std::fs::read(shop.path("b/bank.safetensors")).unwrap();
    shop.write("b/bank.safetensors", &bank[..bank.len() / 2]);
    shop.fails("info b").says(&["bank.safetensors", "copy the bundle again"]);
}

#[test]
fn names_are_neither_formulas_in_tables_nor_commands_on_a_terminal() {
    let shop = Workshop::new();
    shop.good("cloth", 12, 1);
    shop.good("others", 4, 2);
    let red = "\u{1b}[31mred";
    for (name, seed) in [("=1+1.png", 50), ("\u{202e}gpj.png", 51)] {
        shop.save(&format!("cloth/{name}"), &good(seed));
    }
    shop.write(&format!("cloth/{red}.png"), b"no image");
    let command = |arguments: &[&str]| {
        let mut command = shop.command("");
        let output = command.args(arguments).output().unwrap();
        let printed = text(&[&output.stdout[..], &output.stderr[..]].concat());
        let harmless = |c: char| !(c.is_control() || c == '\u{202e}') || matches!(c, '\n' | '\t');
        assert!(printed.chars().all(harmless), "{printed:?}");
        printed
    };
    let bundle = format!("{red}.bundle");
    let fitted = command(&["fit", "--data", "cloth", "--size", "64x64", "--out", &bundle]);
    assert!(fitted.contains("left out: ") && fitted.contains("\\u001b[31mred.png"), "{fitted}");
    let scores = std::fs::read_to_string(shop.path(&bundle).join("training-scores.csv")).unwrap();
    assert!(scores.contains("\n'=1+1.png,") && !scores.contains("\n=1"), "{scores}");
    // The list is read again with the names as they are.
    let info = command(&["info", &bundle, "--json"]);
    assert!(!info.contains("'=1+1.png"), "{info}");
    command(&["info", &bundle]);
    command(&["predict", "--model", &bundle, "cloth"]);
    command(&["predict", "--model", &bundle, &format!("{red}.png")]);
    command(&["calibrate", "--model", &bundle, "--normal", &format!("{red}-none")]);
    command(&["update", "--model", &bundle, "--add", "others"]);
    command(&["info", &format!("{red}-none")]);
}
