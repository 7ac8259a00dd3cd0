//! Writes data sets: how many images of what, into which folders.

use super::{Error, Kind, Product, Random, Sample};
use image::{GrayImage, RgbImage};
use rand::SeedableRng;
use std::path::{Path, PathBuf};

/// What a data set has.
pub struct Plan {
    pub kind: Kind,
    /// Good images to learn from.
    pub train: u32,
    /// Good test images.
    pub good: u32,
    /// Test images of each defect.
    pub defective: u32,
    pub seed: u64,
}

impl Plan {
    /// A data set as large as it takes to measure a method on.
    pub fn of(kind: Kind) -> Self {
        let (train, good) = match kind {
            Kind::Rings => (60, 20),
            Kind::Rods => (240, 25),
            Kind::Loose => (120, 25),
            _ => (60, 25),
        };
        Self { kind, train, good, defective: 12, seed: 1 }
    }

    /// Draws it.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn draw(&self, folder: &Path) -> Result<(), Error> {
        match self.kind {
            Kind::Rings => self.draw_product::<super::rings::Part>(folder),
            Kind::Rods => self.draw_product::<super::rods::Rod>(folder),
            Kind::Dark => self.draw_product::<super::dark::Tyre>(folder),
            Kind::Loose => self.draw_product::<super::loose::Nuts>(folder),
            Kind::Strips => self.draw_product::<super::strips::Strip>(folder),
            Kind::Weave => self.draw_product::<super::weave::Weave>(folder),
            Kind::Leather => self.draw_product::<super::leather::Leather>(folder),
            Kind::Nonwoven => self.draw_product::<super::nonwoven::Nonwoven>(folder),
        }
    }

    fn draw_product<P: Product>(&self, folder: &Path) -> Result<(), Error> {
        let mut dice = Dice::new(self);
        for i in 0..self.train {
            save(&P::sample(None, dice.of(0, i)).0, &folder.join("train/good"), i)?;
        }
        for i in 0..self.good {
            save(&P::sample(None, dice.of(1, i)).0, &folder.join("test/good"), i)?;
        }
        for (group, (name, defect)) in (2..).zip(P::DEFECTS) {
            for i in 0..self.defective {
                let (image, mask): Sample = P::sample(Some(*defect), dice.of(group, i));
                save(&image, &folder.join("test").join(name), i)?;
                if let Some(mask) = mask {
                    save_mask(&mask, &folder.join("ground_truth").join(name), i)?;
                }
            }
        }
        let defects: Vec<&str> = P::DEFECTS.iter().map(|(name, _)| *name).collect();
        self.film(folder, &defects)
    }

    /// The test images as numbered frames: some good parts before those of each defect, and some at the end.
    fn film(&self, folder: &Path, defects: &[&str]) -> Result<(), Error> {
        let test = folder.join("test");
        let mut scenes: Vec<Vec<PathBuf>> = Vec::new();
        let mut good = (0..self.good).map(|i| test.join(format!("good/{i:03}.png")));
        for defect in defects {
            scenes.push(good.by_ref().take(5).collect());
            scenes.push((0..self.defective).map(|i| test.join(defect).join(format!("{i:03}.png"))).collect());
        }
        scenes.push(good.collect());
        let film = folder.join("film");
        std::fs::create_dir_all(&film)?;
        for (number, frame) in scenes.iter().flatten().enumerate() {
            std::fs::copy(frame, film.join(format!("{number:03}.png")))?;
        }
        Ok(())
    }
}

/// The random numbers of each image.
struct Dice {
    kind: Kind,
    seed: u64,
    random: Random,
}

impl Dice {
    fn new(plan: &Plan) -> Self {
        Self { kind: plan.kind, seed: plan.seed, random: Random::seed_from_u64(plan.seed) }
    }

    /// Those of an image of a group (the images to learn from, the good test images, those of each defect).
    fn of(&mut self, group: u64, number: u32) -> &mut Random {
        // Each image has numbers of its own, so that those of one group stay the same however many another one has. The rings were drawn from
        // one sequence before there were other products.
        if self.kind != Kind::Rings {
            let image = (self.seed << 32) ^ (group << 24) ^ u64::from(number);
            self.random = Random::seed_from_u64(image);
        }
        &mut self.random
    }
}

fn save(image: &RgbImage, folder: &Path, number: u32) -> Result<(), Error> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{number:03}.png"));
    image.save(&path).map_err(|e| format!("{}: {e}", path.display()).into())
}

fn save_mask(mask: &GrayImage, folder: &Path, number: u32) -> Result<(), Error> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{number:03}_mask.png"));
    mask.save(&path).map_err(|e| format!("{}: {e}", path.display()).into())
}
