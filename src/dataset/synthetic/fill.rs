//! What a synthetic defect shows: the image itself in disorder.

use super::photometric::Change;
use super::warp::Placement;
use super::{FillParams, Random, uniform};
use image::{GenericImage, GenericImageView, RgbImage};
use rand::seq::{SliceRandom, index};

/// The image, changed in colour and perhaps turned, cut into a grid of pieces that are shuffled.
///
/// Where the side is no multiple of the grid, the last pieces overlap those before them.
pub fn structure(image: &RgbImage, params: &FillParams, random: &mut Random) -> RgbImage {
    let mut changed = image.clone();
    // One kind more than the photometric ones: a rotation, mirrored at the border so that no black corners come in.
    let kinds = Change::ALL.len() + 1;
    for kind in index::sample(random, kinds, params.changes.min(kinds)) {
        match Change::ALL.get(kind) {
            Some(change) => change.apply(&mut changed, &params.photometric, random),
            None => {
                let degrees = uniform([-params.rotation, params.rotation], random);
                let centre = (f64::from(image.width() - 1) / 2.0, f64::from(image.height() - 1) / 2.0);
                changed = Placement::about(centre, degrees, 1.0).image(&changed, image.dimensions());
            }
        }
    }
    shuffle(&changed, params.grid, random)
}

/// Cuts the image into square pieces and puts each in another's place.
fn shuffle(image: &RgbImage, grid: u32, random: &mut Random) -> RgbImage {
    let (width, height) = image.dimensions();
    let piece = (grid.min(width), grid.min(height));
    let starts =
        |side: u32, piece: u32| (0..side.div_ceil(piece)).map(move |i| (i * piece).min(side - piece));
    let places: Vec<(u32, u32)> =
        starts(height, piece.1).flat_map(|y| starts(width, piece.0).map(move |x| (x, y))).collect();
    let mut sources = places.clone();
    sources.shuffle(random);
    let mut shuffled = RgbImage::new(width, height);
    for (&(x, y), &(from_x, from_y)) in places.iter().zip(&sources) {
        shuffled
            .sub_image(x, y, piece.0, piece.1)
            .copy_from(&*image.view(from_x, from_y, piece.0, piece.1), 0, 0)
            .expect("the pieces lie inside the image");
    }
    shuffled
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use rand::SeedableRng;

    fn numbered(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 0]))
    }

    #[test]
    fn shuffled_pieces_are_the_images_own() {
        let image = numbered(96, 64);
        let mut shuffled = shuffle(&image, 16, &mut Random::seed_from_u64(2));
        assert_ne!(shuffled, image);
        for (x, y) in [(0, 0), (16, 32), (80, 48)] {
            let [from_x, from_y, _] = shuffled.get_pixel(x, y).0.map(u32::from);
            assert_eq!((from_x % 16, from_y % 16), (0, 0));
            assert_eq!(shuffled.get_pixel(x + 15, y + 15).0, [from_x as u8 + 15, from_y as u8 + 15, 0]);
        }
        let mut before: Vec<_> = image.pixels().map(|pixel| pixel.0).collect();
        let mut after: Vec<_> = shuffled.pixels_mut().map(|pixel| pixel.0).collect();
        before.sort();
        after.sort();
        assert_eq!(before, after);
    }

    #[test]
    fn any_size_can_be_cut() {
        let mut random = Random::seed_from_u64(2);
        for size in [(1, 1), (7, 40), (33, 50), (16, 16)] {
            let fill = structure(&numbered(size.0, size.1), &FillParams::default(), &mut random);
            assert_eq!(fill.dimensions(), size);
        }
    }
}
