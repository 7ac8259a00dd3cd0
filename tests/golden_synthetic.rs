//! Perlin noise, masks and blending against numbers of the public code of CPR and DRAEM.
//!
//! `tests/fixtures/synthetic.safetensors` holds random directions, images and what the reference code makes of them.
//! `GOLDEN_DIR` names another folder to read it from.

#![cfg(feature = "train")]

use std::path::PathBuf;

use gstanomaly::dataset::synthetic::MaskParams;
use gstanomaly::dataset::synthetic::blend::{blend, mixed};
use gstanomaly::dataset::synthetic::mask::keep_plausible;
use gstanomaly::dataset::synthetic::perlin::Perlin;
use image::RgbImage;
use ndarray::{Array2, Array3};
use safetensors::SafeTensors;

const NOISE_TOLERANCE: f64 = 1e-7;
const BLEND_TOLERANCE: f64 = 2e-5;
const DRAEM_TOLERANCE: f64 = 1e-6;

struct Golden(Vec<u8>);

impl Golden {
    fn open() -> Self {
        let folder = std::env::var_os("GOLDEN_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), PathBuf::from);
        let path = folder.join("synthetic.safetensors");
        Self(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn tensor<T: bytemuck::AnyBitPattern>(&self, name: &str) -> (Vec<usize>, Vec<T>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let values = tensor.data().chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect();
        (tensor.shape().to_vec(), values)
    }

    fn plane<T: bytemuck::AnyBitPattern>(&self, name: &str) -> Array2<T> {
        let (shape, values) = self.tensor(name);
        Array2::from_shape_vec((shape[0], shape[1]), values).unwrap()
    }

    fn mask(&self, name: &str) -> Array2<bool> {
        self.plane::<u8>(name).mapv(|value| value != 0)
    }

    fn colours(&self, name: &str) -> Array3<f32> {
        let (shape, values) = self.tensor(name);
        Array3::from_shape_vec((shape[0], shape[1], shape[2]), values).unwrap()
    }

    fn image(&self, name: &str) -> RgbImage {
        let (shape, values) = self.tensor(name);
        RgbImage::from_raw(shape[1] as u32, shape[0] as u32, values).unwrap()
    }

    fn number(&self, name: &str) -> f64 {
        f64::from(self.tensor::<f32>(name).1[0])
    }
}

#[test]
fn noise_and_its_masks() {
    let golden = Golden::open();
    for case in ["a", "b", "c", "d", "e"] {
        let angles = golden.plane::<f32>(&format!("{case}_angles")).mapv(f64::from);
        let expected = golden.plane::<f32>(&format!("{case}_noise"));
        let noise = Perlin::from_angles(angles.view()).noise(expected.dim());
        let difference =
            noise.iter().zip(&expected).map(|(&a, &b)| (a - f64::from(b)).abs()).fold(0.0, f64::max);
        println!("{case}: largest difference {difference:e}");
        assert!(difference < NOISE_TOLERANCE, "{case}: {difference:e}");
        let mask = noise.mapv(|value| value > MaskParams::default().threshold);
        assert_eq!(mask, golden.mask(&format!("{case}_mask")), "{case}");
    }
}

#[test]
fn parts_that_are_small_or_on_the_background_are_removed() {
    let golden = Golden::open();
    let mask = golden.mask("b_mask");
    let foreground = Array2::from_shape_fn(mask.dim(), |(y, x)| {
        f32::from(u8::from((80..240).contains(&y) && (60..260).contains(&x)))
    });
    let filtered = keep_plausible(&MaskParams::default(), mask.view(), Some(foreground.view()));
    assert_eq!(filtered, golden.mask("b_mask_filtered"));
    assert_ne!(filtered, mask);
}

#[test]
fn blending() {
    let golden = Golden::open();
    let (image, fill) = (golden.image("blend_image"), golden.image("blend_source"));
    let (mask, factor) = (golden.mask("a_mask"), golden.number("blend_factor"));
    let opacity = 1.0 - golden.number("draem_beta");
    let (cpr, draem) = (golden.colours("blend_float"), golden.colours("draem_blend"));
    let mut largest = [0.0, 0.0];
    for ((y, x, c), &expected) in cpr.indexed_iter() {
        let value = |of: &RgbImage| of.get_pixel(x as u32, y as u32).0[c];
        let at = |opacity| match mask[[y, x]] {
            true => mixed(value(&image), value(&fill), opacity),
            false => f64::from(value(&image)),
        };
        largest[0] = f64::max(largest[0], (at(factor) - f64::from(expected)).abs());
        largest[1] = f64::max(largest[1], (at(opacity) / 255.0 - f64::from(draem[[y, x, c]])).abs());
    }
    println!("largest differences: CPR {:e}, DRAEM {:e}", largest[0], largest[1]);
    assert!(largest[0] < BLEND_TOLERANCE && largest[1] < DRAEM_TOLERANCE, "{largest:?}");
    assert_eq!(blend(&image, &fill, mask.view(), factor), golden.image("blend_uint8"));
}
