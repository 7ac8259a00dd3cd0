//! Whether the images of a folder have one size, and what is said if not.

use super::Progress;
use crate::error::{Error, Result};
use crate::frame::{Header, read_header};
use std::collections::HashMap;
use std::path::PathBuf;

/// Images whose aspect ratio differs by more than this factor from that of the others do not show the same thing.
const SHAPE: f64 = 1.5;
/// The same of their scale, the root of the number of their pixels.
const SCALE: f64 = 2.0;
/// Sizes at most that are named.
const NAMED: usize = 4;

/// The headers of those images that can be read; the others are told of when their pixels are read.
///
/// # Errors
/// If the user interrupts.
pub(super) fn headers<'a>(
    paths: impl IntoIterator<Item = &'a PathBuf>,
    progress: &mut dyn Progress,
) -> Result<Vec<(PathBuf, Header)>> {
    let mut found = Vec::new();
    for path in paths {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        found.extend(read_header(path).ok().map(|header| (path.clone(), header)));
    }
    Ok(found)
}

/// Says which sizes there are where some images have quite another size or shape than most; an error where `strict`.
///
/// # Errors
/// See there.
pub(super) fn expect_one_size(
    headers: &[(PathBuf, Header)],
    strict: bool,
    progress: &mut dyn Progress,
) -> Result<()> {
    let Some(problem) = mixture(headers) else { return Ok(()) };
    if strict {
        return Err(Error::Fit(format!("{problem} (--strict)")));
    }
    progress.note(&problem);
    Ok(())
}

fn mixture(headers: &[(PathBuf, Header)]) -> Option<String> {
    let mut groups: HashMap<(u32, u32), Vec<&PathBuf>> = HashMap::new();
    for (path, header) in headers {
        groups.entry(header.size).or_default().push(path);
    }
    let mut groups: Vec<((u32, u32), Vec<&PathBuf>)> = groups.into_iter().collect();
    // The most frequent first, of equally frequent ones the largest.
    groups.sort_by(|(a, x), (b, y)| y.len().cmp(&x.len()).then(b.cmp(a)));
    let (usual, _) = groups.first()?;
    let usual = *usual;
    let (odd, alike): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(size, _)| differs(*size, usual));
    if odd.is_empty() {
        return None;
    }
    let images =
        |groups: &[((u32, u32), Vec<&PathBuf>)]| groups.iter().map(|(_, paths)| paths.len()).sum::<usize>();
    let named = odd.iter().take(NAMED).map(|((width, height), paths)| {
        let first = paths[0].display().to_string().replace(char::is_control, "?");
        match paths.len() {
            1 => format!("1 of {width}x{height} ({first})"),
            count => format!("{count} of {width}x{height} (such as {first})"),
        }
    });
    let named: Vec<String> = named.collect();
    let beyond = images(&odd[named.len()..]);
    let beyond = if beyond > 0 { format!(" and {beyond} of other sizes") } else { String::new() };
    let like = if alike.len() > 1 { " or nearly so" } else { "" };
    Some(format!(
        "the images differ in size and shape: {} of {}x{}{like}, but {}{beyond}; all are brought to one size, so that what they show differs \
         in scale: leave out what does not belong here (--exclude), or learn a bundle of each",
        images(&alike),
        usual.0,
        usual.1,
        named.join(", "),
    ))
}

/// Whether an image of one size cannot show what one of the other size does.
fn differs(one: (u32, u32), other: (u32, u32)) -> bool {
    let factor = |a: f64, b: f64| (a / b).max(b / a);
    let ratio = |(width, height): (u32, u32)| f64::from(width) / f64::from(height);
    let scale = |(width, height): (u32, u32)| (f64::from(width) * f64::from(height)).sqrt();
    factor(ratio(one), ratio(other)) > SHAPE || factor(scale(one), scale(other)) > SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sizes: &[(usize, (u32, u32))]) -> Option<String> {
        let images = sizes.iter().flat_map(|&(count, size)| (0..count).map(move |number| (number, size)));
        let headers: Vec<(PathBuf, Header)> = images
            .map(|(number, size)| {
                (format!("{}x{}-{number}.png", size.0, size.1).into(), Header { size, deep: false })
            })
            .collect();
        mixture(&headers)
    }

    #[test]
    fn other_sizes_are_named_with_their_numbers() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(9, (640, 480))]), None);
        // Cut out by hand.
        assert_eq!(of(&[(3, (640, 480)), (2, (600, 500)), (1, (700, 430))]), None);
        let text = of(&[(12, (64, 64)), (2, (1600, 200)), (1, (66, 60))]).unwrap();
        assert!(
            text.contains("13 of 64x64 or nearly so, but 2 of 1600x200 (such as 1600x200-0.png);"),
            "{text}"
        );
        let text = of(&[(12, (640, 480)), (1, (6400, 4800))]).unwrap();
        assert!(text.contains("12 of 640x480, but 1 of 6400x4800 (6400x4800-0.png);"), "{text}");
        let many: Vec<(usize, (u32, u32))> =
            std::iter::once((9, (64, 64))).chain((1..9).map(|i| (1, (200 * i, 100 * i)))).collect();
        assert!(of(&many).unwrap().contains("and 4 of other sizes"));
    }
}
