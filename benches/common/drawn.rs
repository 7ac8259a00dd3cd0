//! Pictures to measure with where there are no photographs.

/// Their width and height.
pub const SIDE: u32 = 320;

/// A disc on a plain ground, both with noise; place, size and colours depend on the seed.
pub fn image(seed: u64) -> image::RgbImage {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let middle = (150.0 + 20.0 * random(), 150.0 + 20.0 * random());
    let radius = 90.0 + 15.0 * random();
    let colour = [0, 1, 2].map(|_| 60.0 + 60.0 * random());
    let period = 8.0 + 10.0 * random();
    image::RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let (x, y) = (x as f32, y as f32);
        let distance = (x - middle.0).hypot(y - middle.1);
        let rings = if distance < radius { 70.0 * (distance / period).sin() } else { 120.0 };
        image::Rgb(colour.map(|c| (c + rings + 0.1 * x + 16.0 * random()).clamp(0.0, 255.0) as u8))
    })
}
