//! Draws a data set of made-up machined rings, and a recording of such rings passing by, to try the tools with nothing to download:
//!
//! ```text
//! cargo run --release --example made_up_parts -- parts 10
//! adtrain fit --data parts --out parts.bundle
//! adtrain eval --model parts.bundle --data parts --report parts.html
//! adaudit --model parts.bundle --out audit parts/recording.mkv
//! ```
//!
//! The recording lasts as many minutes as the second argument says; without one there is none. `recording.csv` has the times at which
//! damaged rings are in it. The same command always draws the same rings.

mod part;
mod recording;

use image::RgbImage;
use part::{Defect, Part};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256Plus;
use std::path::Path;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: made_up_parts FOLDER [MINUTES]")?;
    let minutes: Option<f64> = arguments.next().map(|minutes| minutes.parse()).transpose()?;
    let folder = Path::new(&folder);
    let mut random = Xoshiro256Plus::seed_from_u64(1);
    for i in 0..60 {
        save(&Part::new(&mut random).draw(&mut random), &folder.join("train/good"), i)?;
    }
    for i in 0..20 {
        save(&Part::new(&mut random).draw(&mut random), &folder.join("test/good"), i)?;
    }
    for (name, defect) in [("scratch", Defect::Scratch), ("stain", Defect::Stain), ("chip", Defect::Chip)] {
        for i in 0..12 {
            let part = Part::new(&mut random);
            let mut image = part.draw(&mut random);
            let mask = defect.apply(&part, &mut image, &mut random);
            save(&image, &folder.join("test").join(name), i)?;
            let masks = folder.join("ground_truth").join(name);
            std::fs::create_dir_all(&masks)?;
            mask.save(masks.join(format!("{i:03}_mask.png")))?;
        }
    }
    if let Some(minutes) = minutes {
        let damaged = recording::write(&folder.join("recording.mkv"), minutes)?;
        let lines = damaged.iter().map(|(start, end)| format!("{start},{end}\n")).collect::<String>();
        std::fs::write(folder.join("recording.csv"), format!("start,end\n{lines}"))?;
    }
    Ok(())
}

fn save(image: &RgbImage, folder: &Path, number: usize) -> Result<(), Error> {
    std::fs::create_dir_all(folder)?;
    Ok(image.save(folder.join(format!("{number:03}.png")))?)
}
