//! The order in which a reader wants to see the images, and which of them the report can afford to show.

use super::{ReportImage, ReportParams};

/// How a decision turned out, in the order of a reader's interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Defective and passed as good.
    Missed,
    /// Good and called defective.
    FalseAlarm,
    /// Right, but close to the threshold.
    Borderline,
    /// Right.
    Correct,
}

impl Outcome {
    /// The outcome of `image`.
    pub fn of(image: &ReportImage, params: &ReportParams) -> Self {
        match (image.is_defective, image.is_anomalous()) {
            (true, false) => Self::Missed,
            (false, true) => Self::FalseAlarm,
            _ if distance(image) <= params.borderline => Self::Borderline,
            _ => Self::Correct,
        }
    }

    /// Its name in the page's style sheet.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::FalseAlarm => "alarm",
            Self::Borderline => "borderline",
            Self::Correct => "correct",
        }
    }

    /// Its name for people, of a defective part or of a good one.
    pub(super) fn verdict(self, is_defective: bool) -> &'static str {
        match self {
            Self::Missed => "Missed",
            Self::FalseAlarm => "False alarm",
            Self::Borderline => "Borderline",
            Self::Correct if is_defective => "Found",
            Self::Correct => "Passed",
        }
    }
}

/// Distance to the threshold.
fn distance(image: &ReportImage) -> f32 {
    (image.normalized - 0.5).abs()
}

/// Indices of `images`, the most interesting first: misses and then false alarms, the farthest beyond the threshold
/// first; borderline decisions, the closest first; the others by class, the good ones last, the hardest first.
pub(super) fn by_interest(images: &[ReportImage], params: &ReportParams) -> Vec<usize> {
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.sort_by(|&left, &right| {
        let (a, b) = (&images[left], &images[right]);
        let outcome = Outcome::of(a, params);
        let lowest_first = a.normalized.total_cmp(&b.normalized).then(a.score.total_cmp(&b.score));
        outcome.cmp(&Outcome::of(b, params)).then_with(|| match outcome {
            Outcome::Missed => lowest_first,
            Outcome::FalseAlarm => lowest_first.reverse(),
            Outcome::Borderline => distance(a).total_cmp(&distance(b)),
            Outcome::Correct => {
                let by_class = b.is_defective.cmp(&a.is_defective).then_with(|| a.label.cmp(&b.label));
                by_class.then(if a.is_defective { lowest_first } else { lowest_first.reverse() })
            }
        })
    });
    order
}

/// Which images of `order` are shown: the worst decisions, and an even sample of the rest that fits beside them.
pub(super) fn choose_shown(images: &[ReportImage], order: &[usize], params: &ReportParams) -> Vec<usize> {
    let (mut urgent, mut rest): (Vec<usize>, Vec<usize>) =
        order.iter().partition(|&&index| Outcome::of(&images[index], params) != Outcome::Correct);
    let mut overflow = urgent.split_off(params.worst.min(urgent.len()));
    overflow.append(&mut rest);
    let rest = overflow;

    let mut left = params.max_picture_bytes;
    let mut shown: Vec<usize> =
        urgent.into_iter().filter(|&index| spend(&mut left, &images[index])).collect();
    let mean_cost = rest.iter().map(|&index| cost(&images[index])).sum::<usize>() / rest.len().max(1);
    let count = params.sampled.min(rest.len()).min(left / mean_cost.max(1));
    let sample = (0..count).map(|nth| rest[nth * rest.len() / count]);
    shown.extend(sample.filter(|&index| spend(&mut left, &images[index])));
    shown
}

/// Takes the bytes of an image's pictures from what is `left`, if they fit.
fn spend(left: &mut usize, image: &ReportImage) -> bool {
    match left.checked_sub(cost(image)) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

/// Bytes of an image's pictures in the file.
fn cost(image: &ReportImage) -> usize {
    let pictures = [Some(&image.input), Some(&image.overlay), image.mask.as_ref()];
    pictures.into_iter().flatten().map(|bytes| bytes.len().div_ceil(3) * 4).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::Level;

    fn image(label: &str, normalized: f32, bytes: usize) -> ReportImage {
        ReportImage {
            label: label.into(),
            is_defective: label != "good",
            normalized,
            level: Level::of(normalized >= 0.5, normalized.into(), None),
            input: vec![0; bytes],
            ..Default::default()
        }
    }

    #[test]
    fn errors_come_first_and_the_worst_of_them_at_the_top() {
        let images = [
            image("good", 0.1, 0),
            image("scratch", 0.9, 0),
            image("good", 0.2, 0),
            image("good", 0.7, 0),
            image("scratch", 0.4, 0),
            image("good", 0.48, 0),
            image("crack", 0.95, 0),
            image("crack", 0.1, 0),
            image("good", 0.8, 0),
            image("crack", 0.52, 0),
            image("scratch", 0.7, 0),
        ];
        // 0.48 and 0.52 are equally far from the threshold but for rounding: either may come first.
        let order = by_interest(&images, &ReportParams::default());
        assert_eq!(order[..4], [7, 4, 8, 3]);
        assert!(order[4..6] == [5, 9] || order[4..6] == [9, 5]);
        assert_eq!(order[6..], [6, 10, 1, 2, 0]);
    }

    #[test]
    fn the_worst_are_shown_and_the_rest_is_sampled_evenly() {
        let mut images: Vec<_> = (0..10).map(|i| image("scratch", 0.01 * i as f32, 3)).collect();
        images.extend((0..100).map(|i| image("good", 0.001 * i as f32, 3)));
        let params = ReportParams { worst: 4, sampled: 5, ..Default::default() };
        let order = by_interest(&images, &params);
        let shown = choose_shown(&images, &order, &params);
        assert_eq!(shown.len(), 9);
        assert_eq!(shown[..4], [0, 1, 2, 3]);
        assert_eq!(shown[4], 4);
        assert!(shown[5..].iter().all(|&index| !images[index].is_defective));
    }

    #[test]
    fn the_limit_holds() {
        let images: Vec<_> = (0..50).map(|i| image("good", 0.01 * i as f32, 300)).collect();
        let order = by_interest(&images, &ReportParams::default());
        for max_picture_bytes in [0, 399, 400, 4000, 100_000] {
            let params = ReportParams { max_picture_bytes, ..Default::default() };
            let shown = choose_shown(&images, &order, &params);
            assert_eq!(shown.len(), (max_picture_bytes / 400).min(50), "{max_picture_bytes}");
        }
    }
}
