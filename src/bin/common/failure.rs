//! Errors as they are told, and the exit codes.

use gstanomaly::text::shown;

/// What a shell reports of a program that Ctrl-C stopped.
pub const INTERRUPTED: u8 = 130;

/// An error with its causes, without those that it has already named, for a terminal.
pub fn describe(error: &anyhow::Error) -> String {
    let text = error.chain().fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.is_empty() => cause,
        cause if text.contains(&cause) => text,
        cause => format!("{text}: {cause}"),
    });
    shown(&text).into_owned()
}
