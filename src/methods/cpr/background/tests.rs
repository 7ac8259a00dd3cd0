use super::*;
use rand::Rng;

const SIDE: usize = 40;
const CHANNELS: usize = 6;
/// What sets surfaces apart from the background, turned by their numbers.
const MEANS: [f32; CHANNELS] = [4.0, -3.0, 2.0, 5.0, -2.0, 3.0];

/// Maps of noise around what `draw` gives at each position (image, y, x): 0 for the background, other numbers for other surfaces.
fn maps(images: usize, draw: impl Fn(usize, usize, usize) -> usize) -> Vec<f16> {
    let mut random = Xoshiro256Plus::seed_from_u64(7);
    let mut values = Vec::new();
    for image in 0..images {
        for y in 0..SIDE {
            for x in 0..SIDE {
                // The network's padding changes the outermost features.
                let padding = if depth(y * SIDE + x, SIDE, SIDE) == 0 { 5.0 } else { 0.0 };
                let surface = draw(image, y, x);
                for channel in 0..CHANNELS {
                    let mean = if surface > 0 { MEANS[(surface + channel) % CHANNELS] } else { 0.0 };
                    let noise: f32 = (0..4).map(|_| random.gen_range(-0.5f32..0.5)).sum();
                    values.push(f16::from_f32(mean + padding + noise));
                }
            }
        }
    }
    values
}

fn estimate_of(values: &[f16]) -> Estimate {
    let maps = LayerMaps { height: SIDE, width: SIDE, channels: CHANNELS, values };
    estimate(maps, &BackgroundParams::default(), 0, || Ok(())).unwrap()
}

fn doubt(estimate: &Estimate) -> Option<String> {
    estimate.evidence.doubt(&BackgroundParams::default())
}

/// Whether (y, x) lies on a thin rod through a place and at an angle that differ from image to image.
fn on_rod(image: usize, y: usize, x: usize) -> bool {
    let (angle, shift) = (image as f32 * 0.7, image as f32 % 5.0 - 2.0);
    let (dy, dx) = (y as f32 - 20.0 - shift, x as f32 - 20.0 + shift);
    let (along, across) = (dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin());
    along.abs() < 12.0 && across.abs() < 2.0
}

#[test]
fn a_thin_turned_and_shifted_part_is_found() {
    let estimate = estimate_of(&maps(20, |image, y, x| usize::from(on_rod(image, y, x))));
    assert_eq!(doubt(&estimate), None, "{:?}", estimate.evidence);
    let wrong = estimate
        .object
        .iter()
        .enumerate()
        .filter(|&(i, &object)| object != on_rod(i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE))
        .count();
    assert!(wrong * 200 < estimate.object.len(), "{wrong} of {} positions", estimate.object.len());
    assert!(estimate.evidence.describe().contains("100 % of the border"), "{}", estimate.evidence.describe());
}

#[test]
fn several_parts_may_touch_the_border() {
    let on_part = |image: usize, y: usize, x: usize| {
        (0..5).any(|part| {
            // In one image of four a part reaches over the border.
            let (cy, cx) = match (image % 4, part) {
                (0, 0) => (0, (image * 7) % 40),
                _ => (9 + (image * 13 + part * 9) % 22, 9 + (image * 7 + part * 17) % 22),
            };
            (y.abs_diff(cy).pow(2) + x.abs_diff(cx).pow(2)) < 25
        })
    };
    let estimate = estimate_of(&maps(20, |image, y, x| 2 * usize::from(on_part(image, y, x))));
    assert_eq!(doubt(&estimate), None, "{:?}", estimate.evidence);
    assert!(estimate.evidence.border < 1.0);
}

#[test]
fn what_an_outline_encloses_belongs_to_the_part() {
    let ring = |y: usize, x: usize| {
        let radius = ((y as f32 - 20.0).powi(2) + (x as f32 - 20.0).powi(2)).sqrt();
        (8.0..11.0).contains(&radius)
    };
    let estimate = estimate_of(&maps(10, |_, y, x| usize::from(ring(y, x))));
    assert!(estimate.object[20 * SIDE + 20], "the middle of a part that looks like its background");
    assert!(!estimate.object[3 * SIDE + 3]);
}

#[test]
fn a_texture_has_no_foreground() {
    let doubt = doubt(&estimate_of(&maps(20, |_, _, _| 0))).unwrap();
    assert!(doubt.contains("an object at least 2 %"), "{doubt}");
}

#[test]
fn a_pattern_that_crosses_the_image_is_no_object() {
    // A strip with dark edges, a plain body and a printed row from one end to the other.
    let strip = |_: usize, y: usize, x: usize| match y {
        0..=5 | 34.. => 1,
        18..=22 if (x / 3).is_multiple_of(2) => 2,
        _ => 3,
    };
    let estimate = estimate_of(&maps(20, strip));
    assert!(doubt(&estimate).is_some(), "{:?}", estimate.evidence);
}

#[test]
fn one_image_and_constant_images_are_no_reason_to_fail() {
    let blank = vec![f16::ZERO; 2 * SIDE * SIDE * CHANNELS];
    assert!(doubt(&estimate_of(&blank)).is_some());
    let one = estimate_of(&maps(1, |image, y, x| usize::from(on_rod(image, y, x))));
    assert_eq!(doubt(&one), None, "{:?}", one.evidence);
    // A map smaller than the ring is wide.
    let values = vec![f16::ONE; 3 * 3 * CHANNELS];
    let maps = LayerMaps { height: 3, width: 3, channels: CHANNELS, values: &values };
    assert!(estimate(maps, &BackgroundParams::default(), 0, || Ok(())).is_ok());
}
