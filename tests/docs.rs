//! The documentation does what it says: every shell command in it is run, and the elements' pages are what the elements
//! are.
//!
//! A page (`README.md`, `docs/*.md`, `docs/elements/*.md`) is run from its first line to its last in one shell, in a folder
//! of its own that holds what [`parts::GIVEN`] lists, so that a page may build on its own earlier lines.
//!
//! - Blocks fenced as `sh`, and indented blocks, are run. Other fences are not: `text`, `console`, `python`, `c`, ...
//! - `<!-- not run: REASON -->` before a block leaves it out.
//! - `<!-- before: COMMAND -->` is run, for what a page presupposes beyond [`parts::GIVEN`]: a broker, another file.
//! - [`REPLACED`] says what a test has in the place of hardware, screens and time.

#![cfg(feature = "train")]

#[path = "../examples/element_docs.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod element_docs;
#[path = "common/parts.rs"]
mod parts;
#[path = "../examples/settings_docs.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod settings_docs;

use parts::{CHECKOUT, Camera, EXAMPLES, GIVEN, program};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What stands in the documentation, what the test runs instead, and why.
///
/// No USB camera can be had in a test: its line is run with the frames of the film from image files in the place of
/// `v4l2src`, so that everything but the camera itself is as written.
const REPLACED: &[(&str, &str)] = &[
    // No camera. FILM is one second and a half of frames, decoded.
    ("v4l2src device=/dev/video0", FILM),
    ("v4l2src device=/dev/video1", FILM),
    ("v4l2src", FILM),
    ("v4l2:///dev/video0", "recording.mp4"),
    // The camera of the test.
    ("rtsp://camera.local/stream", "$CAMERA"),
    // No screen.
    ("autovideosink", "fakesink"),
    ("examples/retune.py", "examples/retune.py --sink 'fakesink sync=true'"),
    // Minutes of training; tests/common/page.sh has more of that kind.
    ("--preset faster", "--preset faster --steps 2"),
    // The build under test is what is there, and its environment is set.
    (". script/env", "true"),
    ("cargo run --release --example", "run_example"),
    ("cargo run --example", "run_example"),
];

const FILM: &str =
    "multifilesrc location=bottle/film/%03d.png stop-index=14 caps=image/png,framerate=10/1 ! pngdec";

/// Seconds that a page may take before it counts as hanging.
const PATIENCE: &str = "400";

/// Lines that are shown of a page that failed.
const SHOWN_LINES: usize = 40;

#[test]
fn every_command_of_the_documentation_runs() {
    let camera = Camera::new();
    let failures: Vec<String> = pages().iter().filter_map(|page| run(page, &camera).err()).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn the_pages_of_the_elements_are_those_of_the_elements() {
    let folder = Path::new(CHECKOUT).join(element_docs::FOLDER);
    let elements = element_docs::elements().unwrap();
    let mut wrong: Vec<String> = Vec::new();
    for name in &elements {
        let committed = std::fs::read_to_string(folder.join(format!("{name}.md"))).unwrap_or_default();
        let page = element_docs::page(name).unwrap();
        if let Some((old, new)) = first_difference(&committed, &page) {
            wrong.push(format!("{name}.md has '{old}', the element says '{new}'"));
        }
    }
    for page in std::fs::read_dir(&folder).into_iter().flatten() {
        let name = page.unwrap().file_name().to_string_lossy().into_owned();
        if !elements.iter().any(|element| name == format!("{element}.md")) {
            wrong.push(format!("{name} is no element's page: remove it"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} is out of date: run 'cargo run --example element_docs' and commit what it writes\n{}",
        element_docs::FOLDER,
        wrong.join("\n")
    );
}

#[test]
fn the_page_of_the_settings_is_that_of_the_methods() {
    let committed =
        std::fs::read_to_string(Path::new(CHECKOUT).join(settings_docs::PAGE)).unwrap_or_default();
    if let Some((old, new)) = first_difference(&committed, &settings_docs::page().unwrap()) {
        panic!(
            "{} has '{old}', the source says '{new}': run 'cargo run --example settings_docs' and commit what it writes",
            settings_docs::PAGE
        );
    }
}

fn first_difference(old: &str, new: &str) -> Option<(String, String)> {
    let (mut old, mut new) = (old.lines(), new.lines());
    loop {
        match (old.next(), new.next()) {
            (None, None) => return None,
            (old, new) if old == new => {}
            (old, new) => return Some((old.unwrap_or_default().into(), new.unwrap_or_default().into())),
        }
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for (number, line) in text.lines().enumerate() {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
                let outside = link.contains("://") || link.is_empty();
                if !outside && !page.with_file_name(link).exists() {
                    broken.push(format!("{}:{}: {link}", shown(&page), number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The documentation, in the order in which somebody reads it.
fn pages() -> Vec<PathBuf> {
    let checkout = Path::new(CHECKOUT);
    let mut pages = vec![checkout.join("README.md")];
    for folder in ["docs", "docs/elements"] {
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(checkout.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
        found.sort();
        pages.extend(found);
    }
    pages
}

/// A page's path as people know it.
fn shown(page: &Path) -> String {
    page.strip_prefix(CHECKOUT).unwrap().display().to_string()
}

/// Runs a page; the error says which line failed, and what it printed.
fn run(page: &Path, camera: &Camera) -> Result<(), String> {
    let name = shown(page);
    let text = std::fs::read_to_string(page).unwrap();
    let script = script(&text).map_err(|e| format!("{name}:{e}"))?;
    if script.trim().is_empty() {
        return Ok(());
    }
    let folder = tempfile::tempdir_in(&*GIVEN).unwrap();
    for given in ["bottle", "more-good-images", "bottle.bundle", "can.bundle", "photo.png", "recording.mp4"] {
        let copied = Command::new("cp").arg("-r").arg(GIVEN.join(given)).arg(folder.path()).status();
        assert!(copied.unwrap().success());
    }
    for part in ["examples", "script", "models", "docs"] {
        std::os::unix::fs::symlink(Path::new(CHECKOUT).join(part), folder.path().join(part)).unwrap();
    }
    // The script has the lines of the page, so that bash's line numbers are the page's.
    let file = folder.path().join("page.sh");
    std::fs::write(&file, script).unwrap();
    let log = folder.path().join("log");
    let output = std::fs::File::create(&log).unwrap();
    let status = program(&GIVEN, "timeout")
        .args(["--kill-after=10", PATIENCE, &format!("{CHECKOUT}/tests/common/page.sh")])
        .current_dir(folder.path())
        .env("PAGE", &name)
        .env("CAMERA", &camera.address)
        .env("EXAMPLES", &*EXAMPLES)
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .status()
        .unwrap();
    if status.success() {
        return Ok(());
    }
    // Every command stands there with its page and line, before what it printed.
    let log = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    let lines: Vec<&str> = log.lines().collect();
    Err(format!("{name}: {status}\n{}", lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")))
}

/// The commands of a page, each on its own line of the page; every other line is empty.
fn script(page: &str) -> Result<String, String> {
    let mut script = String::new();
    let mut fence: Option<&str> = None;
    let (mut left_out, mut indented_block, mut after_empty) = (false, false, true);
    for (number, line) in page.lines().enumerate() {
        let at = |problem: &str| format!("{}: {problem}", number + 1);
        let indented = line.strip_prefix("    ").filter(|_| indented_block || after_empty);
        let mut command = "";
        if let Some(language) = fence {
            if line.trim_end() == "```" {
                (fence, left_out) = (None, false);
            } else if language == "sh" && !left_out {
                command = line;
            }
        } else if let Some(indented) = indented {
            indented_block = true;
            command = if left_out { "" } else { indented };
        } else if !line.trim().is_empty() {
            if std::mem::take(&mut indented_block) {
                left_out = false;
            }
            if let Some(language) = line.strip_prefix("```").map(str::trim) {
                fence = Some(language);
                if language.is_empty() {
                    return Err(at("a fence must say what it holds: ```sh is run, ```text is not"));
                }
            } else if left_out {
                return Err(at("'not run' stands before a block, with nothing but empty lines between"));
            } else if let Some(comment) =
                line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"))
            {
                match comment.split_once(": ") {
                    Some(("not run", _reason)) => left_out = true,
                    Some(("before", before)) => command = before,
                    _ => {}
                }
            }
        }
        after_empty = indented_block || line.trim().is_empty();
        script.push_str(&replaced(command));
        script.push('\n');
    }
    Ok(script)
}

/// The command that the test runs for one of the documentation. What was put in is not searched again.
fn replaced(command: &str) -> String {
    let mut done = String::new();
    let mut rest = command;
    'next: while !rest.is_empty() {
        for (written, run) in REPLACED {
            if let Some(after) = rest.strip_prefix(written) {
                done.push_str(run);
                rest = after;
                continue 'next;
            }
        }
        let letter = rest.chars().next().map_or(0, char::len_utf8);
        done.push_str(&rest[..letter]);
        rest = &rest[letter..];
    }
    done
}

#[test]
fn blocks_are_found_and_left_out_as_marked() {
    let page = "text\n\n    a \\\n      b\n\n    c\n\n<!-- before: d -->\n```sh\ne\n```\n\n<!-- not run: why -->\n\n```sh\nf\n```\n\
                ```text\ng\n```\n- item\n    wrapped\n\n<!-- not run: why -->\n\n    h\n\n    i\n\nmore\n\n    v4l2src ! j\n";
    let commands: Vec<String> = script(page)
        .unwrap()
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| format!("{} {line}", number + 1))
        .collect();
    let film = format!("32 {FILM} ! j");
    assert_eq!(commands, ["3 a \\", "4   b", "6 c", "8 d", "10 e", &film]);
    assert!(script("```\na\n```\n").unwrap_err().starts_with("1: a fence"));
    assert!(script("<!-- not run: why -->\n\ntext\n\n    a\n").unwrap_err().starts_with("3: 'not run'"));
}
