//! The reference that anyone can read.

use super::{Band, Element, LEAST, Matching};

pub(super) fn band<E: Element>(matching: &Matching<'_, E>, band: &mut Band<'_>) {
    let (width, channels, count) = (matching.shape.width, matching.shape.channels, matching.count);
    for at in 0..band.backward.len() {
        let place = band.first * width + at;
        let templates = &matching.templates[place * channels * count..][..channels * count];
        let skipped = matching.skipped_at(place);
        for pair in matching.window(place / width, place % width) {
            let query = &matching.query[pair.place * channels..][..channels];
            let similarity = |template: usize| -> f32 {
                let values = templates[template..].iter().step_by(count);
                query.iter().zip(values).map(|(q, t)| q * t.to_f32()).sum()
            };
            let all = (0..count).filter(|&template| skipped.clone().all(|skipped| skipped != template));
            band.note(pair, at, all.map(similarity).fold(LEAST, f32::max));
        }
    }
}
