//! Text that others have chosen, names of files above all, where it could be taken for more than text.

use std::borrow::Cow;

/// Whether a terminal would take a character for a command, or show what follows in another order than it is.
pub fn is_command(character: char) -> bool {
    let turns =
        matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    character.is_control() || turns
}

/// Text for a terminal: what it would take for a command is written as its number, as in JSON (`\u001b`); ends of lines stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    escape(text, |character| !is_command(character) || matches!(character, '\n' | '\t'))
}

/// The same for a name, which has no ends of lines either: one could be taken for a message of its own.
pub fn shown_name(name: &str) -> Cow<'_, str> {
    escape(name, |character| !is_command(character))
}

fn escape(text: &str, harmless: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&harmless) {
        return text.into();
    }
    let write = |mut out: String, character: char| {
        match harmless(character) {
            true => out.push(character),
            false => out.push_str(&format!("\\u{:04x}", u32::from(character))),
        }
        out
    };
    text.chars().fold(String::with_capacity(text.len() + 8), write).into()
}

/// Text for a cell of a table in CSV: spreadsheets take what begins in some ways for a formula, and show what follows an apostrophe as it
/// is. [`from_cell`] takes it away again.
pub fn cell(text: &str) -> Cow<'_, str> {
    match is_formula(text) {
        true => format!("'{text}").into(),
        false => text.into(),
    }
}

/// What [`cell`] was made from.
pub fn from_cell(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| is_formula(text)).unwrap_or(cell)
}

/// Whether a spreadsheet may take text for a formula, or for text behind an apostrophe that would be one.
fn is_formula(text: &str) -> bool {
    // The wide forms are those of Japanese and Chinese input.
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_commands() {
        for (text, expected) in [
            ("März/a b.png\n\tc", "März/a b.png\n\tc"),
            ("\u{1b}[31mred.png", "\\u001b[31mred.png"),
            ("a\rb\u{7}\u{9b}2J\u{7f}", "a\\u000db\\u0007\\u009b2J\\u007f"),
            ("good\u{202e}gnp.exe", "good\\u202egnp.exe"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(shown_name("a\nadaudit: all is well"), "a\\u000aadaudit: all is well");
        let json = serde_json::json!({"path": "a\u{9b}\u{202e}"}).to_string();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown(&json)).unwrap()["path"],
            "a\u{9b}\u{202e}"
        );
    }

    #[test]
    fn no_cell_is_a_formula_and_all_can_be_read_again() {
        for (text, expected) in [
            ("line.mkv", "line.mkv"),
            ("=1+1.mkv", "'=1+1.mkv"),
            ("+1.mkv", "'+1.mkv"),
            ("-x", "'-x"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("＝1", "'＝1"),
            ("'=1", "''=1"),
            ("'quoted'", "'quoted'"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(cell(text), expected);
            assert_eq!(from_cell(&cell(text)), text);
        }
    }
}
