//! Normal, warn and reject: what an operator sees of each.

use super::*;

/// How many pixels of an RGB frame are much more of one colour than of the others: green, amber (red and green), red.
fn colours(buffer: &gst::BufferRef, info: &VideoInfo) -> [usize; 3] {
    let stride = info.stride()[0] as usize;
    let bytes = bytes(buffer);
    let rows = bytes.chunks(stride).flat_map(|row| row[..3 * info.width() as usize].as_chunks::<3>().0);
    rows.fold([0; 3], |[green, amber, red], &[r, g, b]| match (r > 200, g > 150, b < 110) {
        (false, true, false) => [green + 1, amber, red],
        (true, true, true) => [green, amber + 1, red],
        (true, false, true) => [green, amber, red + 1],
        _ => [green, amber, red],
    })
}

#[test]
fn each_level_has_a_badge_of_its_own_colour() {
    // Whole, and so small that only the sign has room.
    for (width, height) in [(640, 480), (96, 64)] {
        let info = info(VideoFormat::Rgb, width, height);
        let badge = |meta| colours(&draw(&mut start("show=score", &info), &info, &meta), &info);
        let found = [good(width, height), unusual(width, height), anomaly(width, height)].map(badge);
        for (level, counts) in found.iter().enumerate() {
            let others = counts.iter().sum::<usize>() - counts[level];
            // Where a colour passes into the ground, some pixels have another hue.
            assert!(counts[level] > 20 && 5 * others < counts[level], "{width}: {found:?}");
        }
        let [[green, ..], [_, amber, _], _] = found;
        // The small one's edge is thinner than two pixels, and hardly one of them has the pure colour.
        assert!(width < 100 || amber > 2 * green, "the edge makes it stand out: {found:?}");
    }
}

#[test]
fn a_frame_in_warn_is_a_good_one_with_another_badge() {
    let info = info(VideoFormat::Rgb, 320, 240);
    for shown in ["heatmap", "contour", "regions", "heatmap+contour+regions"] {
        let found = draw(&mut start(&format!("show={shown}"), &info), &info, &unusual(320, 240));
        assert_eq!(touched(&found, &info), [], "{shown}");
    }
    let found = draw(&mut start("only-anomalous=true", &info), &info, &unusual(320, 240));
    assert_eq!(touched(&found, &info), []);
    // The score alone does not tell them apart, and nothing else may come from the cache either.
    let mut harness = start("", &info);
    let calm = AnomalyMeta { warn: None, ..unusual(320, 240) };
    let [calm, warn] = [calm, unusual(320, 240)].map(|meta| bytes(&draw(&mut harness, &info, &meta)));
    assert_ne!(calm, warn);
}
