//! ONNX Runtime that is missing, broken or too old: the error says which file it was and what to do.
//!
//! The library is loaded once in a process, so that each case is a process of its own: this test program again, running
//! one of the two ignored tests below.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use product::{scratch, square};
use std::path::Path;
use std::process::Command;

/// Says what was found on standard output.
const MARK: &str = "found: ";
const BUNDLE: &str = "RUNTIME_TEST_BUNDLE";
const GOOD_LIBRARY: &str = "RUNTIME_TEST_GOOD_LIBRARY";

/// What a child prints that runs `test` with `library` for ONNX Runtime.
fn child(test: &str, library: &Path) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("ORT_DYLIB_PATH", library).env(BUNDLE, square());
    if let Some(good) = std::env::var_os("ORT_DYLIB_PATH") {
        command.env(GOOD_LIBRARY, good);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{:?}: {text} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let found: Vec<_> =
        text.lines().filter_map(|line| line.split_once(MARK)).map(|(_, found)| found).collect();
    assert_eq!(found.len(), 1, "{text}");
    found[0].to_owned()
}

/// The core and an element both refuse `library`, with its path and what to do.
fn refused(library: &Path, reason: &str) {
    for test in ["child_loads_the_runtime", "child_starts_an_element"] {
        let message = child(test, library);
        assert!(message.contains(library.to_str().unwrap()), "{test}: {message}");
        assert!(
            message.contains("script/bootstrap") && message.contains("ORT_DYLIB_PATH"),
            "{test}: {message}"
        );
        assert!(message.contains("1.17 or newer"), "{test}: {message}");
        assert!(message.contains(reason), "{test}: {message}");
        assert!(!message.contains("features.onnx"), "the graph is not to blame: {message}");
    }
}

#[test]
#[ignore = "a child of the other tests"]
fn child_loads_the_runtime() {
    let message = gstanomaly::network::load_runtime().expect_err("it is loaded").to_string();
    println!("\n{MARK}{message}");
    // A later call tries again: the user may have installed it in the meantime.
    if let Some(good) = std::env::var_os(GOOD_LIBRARY) {
        // SAFETY: the only test of this process, and nothing else in it reads the environment now.
        unsafe { std::env::set_var("ORT_DYLIB_PATH", good) };
        gstanomaly::network::load_runtime().unwrap();
    }
}

#[test]
#[ignore = "a child of the other tests"]
fn child_starts_an_element() {
    let bundle = std::env::var(BUNDLE).unwrap();
    let info = pipeline::info_of(&product::good(1));
    let message = pipeline::failure_at_start(&pipeline::chain(Path::new(&bundle)), &info);
    println!("\n{MARK}{}", message.replace('\n', " "));
}

#[test]
fn a_missing_library_is_named() {
    refused(Path::new("/nonexistent/libonnxruntime.so"), "no such file");
}

#[test]
fn a_file_that_is_no_library_is_named() {
    let folder = scratch();
    let text = folder.path().join("text.so");
    std::fs::write(&text, "this is no library\n").unwrap();
    refused(&text, "failed to load");
    refused(folder.path(), "failed to load");
}

#[test]
fn another_library_is_named() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc =
        maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("/libc.so"));
    refused(Path::new(libc.expect("no C library in this process")), "does not export");
}

#[test]
fn a_library_that_is_too_old_is_named_with_its_version() {
    for (version, reason) in [("1.10.0", "got '1.10.0'"), ("", "got ''"), ("rubbish", "got 'rubbish'")] {
        let folder = scratch();
        let (source, library) = (folder.path().join("old.c"), folder.path().join("libonnxruntime.so"));
        let text = format!(
            "static const void* get_api(unsigned v) {{ (void)v; return 0; }}\n\
             static const char* version(void) {{ return \"{version}\"; }}\n\
             static const struct {{ const void* (*a)(unsigned); const char* (*v)(void); }} base = {{ get_api, version }};\n\
             const void* OrtGetApiBase(void) {{ return &base; }}\n"
        );
        std::fs::write(&source, text).unwrap();
        let built = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        if !built.is_ok_and(|status| status.success()) {
            eprintln!("no gcc here: not tested");
            return;
        }
        refused(&library, reason);
    }
}
