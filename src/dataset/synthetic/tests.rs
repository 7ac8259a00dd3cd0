use super::*;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use rand::Rng;

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x * 2 % 256) as u8, (y * 3 % 256) as u8, ((x * x + y) % 200) as u8])
    })
}

fn generator(params: SyntheticParams, kind: ProductKind) -> SyntheticDefects {
    let textures = BuiltinTextures::new(vec![picture(64, 64)], BuiltinParams::default());
    SyntheticDefects::new(params, kind, Arc::new(textures)).unwrap()
}

fn always() -> SyntheticParams {
    SyntheticParams { probability: 1.0, ..SyntheticParams::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn samples_keep_their_promises(
        seed in any::<u64>(), index in any::<u64>(), columns in 1u32..5, rows in 1u32..5, object in any::<bool>(),
    ) {
        let kind = if object { ProductKind::Object } else { ProductKind::Texture };
        let generator = generator(always(), kind);
        let image = picture(32 * columns, 32 * rows);
        let sample = generator.sample(&image, None, seed, index).unwrap();
        prop_assert_eq!(sample.image.dimensions(), image.dimensions());
        prop_assert_eq!(sample.mask.dim(), (32 * rows as usize, 32 * columns as usize));
        prop_assert!(sample.is_defective());
        let defect = sample.defect.unwrap();
        prop_assert!((0.5..=1.0).contains(&defect.opacity));
        prop_assert!(object || defect.fill != Fill::Structure);
        for ((y, x), &inside) in sample.mask.indexed_iter() {
            let (x, y) = (x as u32, y as u32);
            prop_assert!(inside || sample.image.get_pixel(x, y) == image.get_pixel(x, y));
        }
        prop_assert_eq!(generator.sample(&image, None, seed, index).unwrap(), sample);
    }

    #[test]
    fn defects_touch_the_foreground(seed in any::<u64>()) {
        let foreground = Array2::from_shape_fn((16, 16), |(y, x)| ((6..10).contains(&y) && x > 10) as u8 as f32);
        let sample = generator(always(), ProductKind::Object)
            .sample(&picture(96, 96), Some(foreground.view()), seed, 0).unwrap();
        let large = enlarged(foreground.view(), (96, 96));
        let mut parts = 0;
        let missing = mask::keep_components(sample.mask.view(), |places| {
            parts += 1;
            places.iter().all(|&place| large[place] <= 0.5)
        });
        prop_assert!(parts > 0 && missing.iter().all(|&inside| !inside));
    }
}

#[test]
fn as_many_samples_have_a_defect_as_the_paper_says() {
    let generator = generator(SyntheticParams::default(), ProductKind::Object);
    let image = picture(32, 32);
    let samples: Vec<_> = (0..400).map(|index| generator.sample(&image, None, 7, index).unwrap()).collect();
    let with = |fill| samples.iter().filter(|sample| sample.defect.is_some_and(|d| d.fill == fill)).count();
    let (texture, structure, plain) = (with(Fill::Texture), with(Fill::Structure), with(Fill::Plain));
    assert!((335..=385).contains(&(texture + structure)), "{texture} {structure} {plain}");
    assert!(texture.abs_diff(structure) < 80, "{texture} {structure}");
    assert_eq!(plain, 0);
    let different: std::collections::BTreeSet<_> =
        samples.iter().map(|sample| sample.image.as_raw()).collect();
    assert!(different.len() > 330, "{}", different.len());
}

#[test]
fn neighbouring_indices_and_purposes_are_unrelated() {
    let first = |seed, index, purpose| random_for(seed, index, purpose).gen_range(0u32..1 << 30);
    let mut drawn: Vec<u32> = (0..20)
        .flat_map(|seed| {
            (0..20).flat_map(move |index| (0..3).map(move |purpose| first(seed, index, purpose)))
        })
        .collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 1200);
}

#[test]
fn when_nothing_is_visible_a_plain_disk_is_used() {
    let params = SyntheticParams { opacity: [0.0, 0.0], attempts: 3, ..always() };
    let generator = generator(params, ProductKind::Texture);
    for (level, expected) in [(20, 255), (230, 0)] {
        let sample = generator.sample(&RgbImage::from_pixel(64, 64, Rgb([level; 3])), None, 1, 2).unwrap();
        assert_eq!(sample.defect, Some(Defect { fill: Fill::Plain, opacity: 1.0 }));
        for ((y, x), &inside) in sample.mask.indexed_iter() {
            let value = if inside { expected } else { level };
            assert_eq!(sample.image.get_pixel(x as u32, y as u32).0, [value; 3]);
        }
    }
}

#[test]
fn grey_images_get_grey_defects() {
    let generator = generator(always(), ProductKind::Object);
    let image = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 3 + y) as u8; 3]));
    for index in 0..20 {
        assert!(is_grey(&generator.sample(&image, None, 1, index).unwrap().image));
    }
}

#[test]
fn real_defects_come_in_as_often_as_asked_for() {
    let mask = Array2::from_shape_fn((64, 64), |(y, x)| y > 40 && x < 20);
    let real = RealDefect::new(picture(64, 64), mask.clone(), "test").unwrap();
    let params = SyntheticParams {
        real: RealParams { probability: 0.2, ..RealParams::default() },
        ..SyntheticParams::default()
    };
    let generator =
        generator(params, ProductKind::Object).with_real_defects(RealDefects::new(vec![real]).unwrap());
    assert!(generator.describe().ends_with("1 real defects"), "{}", generator.describe());
    let plain = RgbImage::from_pixel(64, 64, Rgb([50, 60, 70]));
    let samples: Vec<_> = (0..300).map(|index| generator.sample(&plain, None, 1, index).unwrap()).collect();
    let real: Vec<_> = samples.iter().filter(|sample| sample.real == Some(0)).collect();
    let extended = samples.iter().filter(|sample| sample.extended > 0).count();
    assert!((40..85).contains(&real.len()), "{}", real.len());
    assert!((40..85).contains(&extended), "{extended}");
    assert!(real.iter().all(|sample| mask.iter().zip(&sample.mask).all(|(&m, &s)| s || !m)));
}

#[test]
fn wrong_parameters_and_empty_images_are_errors() {
    let textures = || Arc::new(BuiltinTextures::new(Vec::new(), BuiltinParams::default()));
    let problem = |params| {
        SyntheticDefects::new(params, ProductKind::Object, textures()).map(|_| ()).unwrap_err().to_string()
    };
    let opacity = problem(SyntheticParams { opacity: [0.9, 0.5], ..always() });
    assert_eq!(opacity, "opacity: the first value must not be above the second, found [0.9, 0.5]");
    let nan = problem(SyntheticParams { probability: f64::NAN, ..always() });
    assert_eq!(nan, "probability must be 0 to 1, found NaN");
    let generator = generator(always(), ProductKind::Object);
    assert!(generator.sample(&RgbImage::new(0, 0), None, 0, 0).is_err());
    assert!(generator.sample(&picture(32, 32), Some(Array2::zeros((0, 3)).view()), 0, 0).is_err());
}
