//! The training samples: good images with synthetic defects, and good images as references, with their raw features on disk.
//!
//! The backbone is frozen, so each image goes through it once; a step then only reads.

use super::pairs::{Ground, Mask, PairParams};
use super::{MapShape, RawMaps};
use crate::dataset::synthetic::{PictureLoader, SyntheticDefects};
use crate::error::{Error, Result};
use crate::frame::{InputSpec, Picture, Preprocessor};
use crate::kernels::histogram::{Blocks, Comparison, Query};
use crate::kernels::windowed::Shape;
use crate::methods::fitting::{Progress, Spool, free_disk};
use crate::network::{FeatureMap, Network};
use half::f16;
use half::slice::HalfFloatSliceExt;
use image::RgbImage;
use memmap2::Mmap;
use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How many samples are prepared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SampleParams {
    /// Training images at most that samples are made of, spread evenly over the set.
    pub images: usize,
    /// Queries: images with synthetic defects. A step draws from them, each time with other pairs and another reference.
    pub queries: usize,
    /// References at least, one of each image in any case.
    pub references: usize,
}

impl Default for SampleParams {
    fn default() -> Self {
        Self { images: 256, queries: 600, references: 300 }
    }
}

/// Images that are made together, on all cores, before the network sees them.
const TOGETHER: usize = 8;
/// Number of the references' augmentations, which must not be those of the queries.
const REFERENCE: u64 = 1;

/// What samples are made from.
pub(super) struct Workshop<'a> {
    /// Outputs: the raw maps `[1, C, H, W]` finest first, the codes, and the foreground if there is one.
    pub network: Network,
    pub shapes: Vec<Shape>,
    pub with_foreground: bool,
    pub loader: PictureLoader,
    pub input: &'a InputSpec,
    pub generator: &'a SyntheticDefects,
    pub params: &'a SampleParams,
    pub pairs: &'a PairParams,
    pub seed: u64,
    pub scratch: &'a Path,
}

/// A training image that samples are made of.
pub(super) struct Base {
    /// The images most like it, nearest first.
    pub neighbours: Vec<usize>,
    pub ground: Ground,
    /// Its references, by their places in the pool.
    pub references: Vec<usize>,
}

/// The samples.
pub(super) struct Pool {
    maps: Vec<(Shape, Mmap)>,
    pub bases: Vec<Base>,
    /// The training image and the defect of each query.
    pub queries: Vec<(usize, Mask)>,
}

/// Chooses images to learn from, spread evenly.
pub(super) fn choose(paths: &[PathBuf], most: usize) -> Vec<PathBuf> {
    let count = paths.len().min(most.max(2));
    (0..count).map(|i| paths[i * paths.len() / count].clone()).collect()
}

impl Workshop<'_> {
    /// Makes the samples of `paths`; `blocks` and the numbers behind it are those of global retrieval.
    ///
    /// # Errors
    /// If an image cannot be read, a sample cannot be made, the disk is full, or the user interrupts.
    pub fn make(
        &mut self,
        paths: &[PathBuf],
        blocks: Blocks,
        (epsilon, kept, neighbours): (f64, usize, usize),
        progress: &mut dyn Progress,
    ) -> Result<Pool> {
        let (histograms, foregrounds) = self.look(paths, blocks, progress)?;
        let nearest = neighbourhoods(blocks, &histograms, epsilon, kept, neighbours);
        let references = self.params.references.max(paths.len());
        let total = self.params.queries + references;
        self.check_room(references, progress)?;
        progress.stage("making training samples", total);
        let mut spools = self.shapes.iter().map(|_| Spool::new(self.scratch)).collect::<Result<Vec<_>>>()?;
        let finest = (self.shapes[0].height, self.shapes[0].width);
        let view = |base: usize| -> Option<ArrayView2<'_, f32>> {
            ArrayView2::from_shape(finest, foregrounds.get(base)?.as_slice()).ok()
        };
        let (loader, generator, seed) = (self.loader.clone(), self.generator, self.seed);
        let mut queries = Vec::with_capacity(self.params.queries);
        for first in (0..self.params.queries).step_by(TOGETHER) {
            let last = (first + TOGETHER).min(self.params.queries);
            let made = (first..last).into_par_iter().map(|index| {
                let base = index % paths.len();
                let image = loader.load(&paths[base])?;
                let mut sample = generator.sample(&image, view(base), seed, index as u64)?;
                generator.augment(&mut sample.image, seed, index as u64, 0);
                Ok((base, sample))
            });
            for (base, sample) in made.collect::<Result<Vec<_>>>()? {
                self.keep(&sample.image, &mut spools, progress)?;
                queries.push((base, Mask::new(&sample.mask)));
            }
        }
        for first in (0..references).step_by(TOGETHER) {
            let made = (first..(first + TOGETHER).min(references)).into_par_iter().map(|index| {
                let mut image = loader.load(&paths[index % paths.len()])?;
                generator.augment(&mut image, seed, index as u64, REFERENCE);
                Ok(image)
            });
            for image in made.collect::<Result<Vec<RgbImage>>>()? {
                self.keep(&image, &mut spools, progress)?;
            }
        }
        let bases = nearest.into_iter().enumerate().map(|(base, neighbours)| Base {
            neighbours,
            ground: foregrounds
                .get(base)
                .map_or_else(Ground::even, |map| Ground::new(map, finest, self.pairs)),
            references: (base..references).step_by(paths.len()).map(|r| self.params.queries + r).collect(),
        });
        let maps = self.shapes.iter().copied().zip(spools).map(|(shape, spool)| Ok((shape, spool.finish()?)));
        Ok(Pool { bases: bases.collect(), maps: maps.collect::<Result<_>>()?, queries })
    }

    /// Says how much room the samples take, where it is a lot, and refuses what would not fit.
    fn check_room(&self, references: usize, progress: &mut dyn Progress) -> Result<()> {
        let sample = self.shapes.iter().map(Shape::len).sum::<usize>() * size_of::<f16>();
        let bytes = (sample * (self.params.queries + references)) as u64;
        let gigabytes = |bytes: u64| bytes as f64 * 1e-9;
        if let Some(free) = free_disk(self.scratch).filter(|&free| free < bytes) {
            let fitting = (0.9 * free as f64 / sample as f64) as usize;
            let set = |name: &str, count: usize| format!(" --set learning.samples.{name}={}", count.max(1));
            let fewer = match fitting.checked_sub(references) {
                Some(queries) if queries > 0 => set("queries", queries),
                // Every image is a reference at least once.
                _ => ["images", "references", "queries"].map(|name| set(name, fitting / 2)).concat(),
            };
            return Err(Error::Fit(format!(
                "the training samples need {:.1} GB, {:.1} GB are free in {}; try fewer, such as{fewer}",
                gigabytes(bytes),
                gigabytes(free),
                self.scratch.display(),
            )));
        }
        const MUCH: u64 = 1 << 30;
        if bytes >= MUCH {
            progress.note(&format!(
                "the training samples take {:.1} GB in {} until the branch has learned",
                gigabytes(bytes),
                self.scratch.display()
            ));
        }
        Ok(())
    }

    /// The code histograms and the foregrounds of the images as they are.
    fn look(
        &mut self,
        paths: &[PathBuf],
        blocks: Blocks,
        progress: &mut dyn Progress,
    ) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        progress.stage("looking for neighbours", paths.len());
        let (mut histograms, mut foregrounds) = (Vec::new(), Vec::new());
        let mut histogram = vec![0.0; blocks.len()];
        for path in paths {
            let image = self.loader.load(path)?;
            let maps = self.run(&image)?;
            let (codes, rest) = maps[self.shapes.len()..].split_first().expect("the codes are an output");
            blocks.histograms(codes.bytes(), &mut histogram);
            histograms.extend_from_slice(&histogram);
            foregrounds
                .extend(rest.first().filter(|_| self.with_foreground).map(|map| map.floats().to_vec()));
            step(progress)?;
        }
        Ok((histograms, foregrounds))
    }

    fn keep(&mut self, image: &RgbImage, spools: &mut [Spool], progress: &mut dyn Progress) -> Result<()> {
        let maps = self.run(image)?;
        for (map, spool) in maps.iter().zip(spools) {
            spool.push_halves(map.floats())?;
        }
        step(progress)
    }

    fn run(&mut self, image: &RgbImage) -> Result<Vec<FeatureMap>> {
        let picture = Picture::from_rgb(image.width(), image.height(), image.as_raw())?;
        let mut preprocessor = Preprocessor::new(picture.info(), self.input, None)?;
        let mut input = self.network.new_input()?;
        self.network.extract(&mut preprocessor, &mut input, &picture.frame()?)
    }
}

fn step(progress: &mut dyn Progress) -> Result<()> {
    progress.advance();
    if progress.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
}

/// The nearest images of each image, without itself.
fn neighbourhoods(
    blocks: Blocks,
    histograms: &[f32],
    epsilon: f64,
    kept: usize,
    count: usize,
) -> Vec<Vec<usize>> {
    let comparison = Comparison::new(blocks, histograms, epsilon, kept);
    let (mut query, mut distances) = (Query::default(), Vec::new());
    let of = |(own, histogram): (usize, &[f32])| {
        comparison.distances(histogram, &mut query, &mut distances);
        let mut order: Vec<usize> = (0..distances.len()).filter(|&other| other != own).collect();
        order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(a.cmp(&b)));
        order.truncate(count);
        order
    };
    histograms.chunks_exact(blocks.len()).enumerate().map(of).collect()
}

impl Pool {
    /// The raw maps of some samples, one after the other in each channel.
    pub fn batch(&self, samples: &[usize]) -> Vec<RawMaps> {
        let of = |(shape, map): &(Shape, Mmap)| {
            let halves: &[f16] = bytemuck::cast_slice(map);
            let (plane, channels) = (shape.places(), shape.channels);
            let mut values = vec![0.0; channels * samples.len() * plane];
            values.par_chunks_mut(samples.len() * plane).enumerate().for_each(|(channel, planes)| {
                for (&sample, target) in samples.iter().zip(planes.chunks_exact_mut(plane)) {
                    halves[(sample * channels + channel) * plane..][..plane].convert_to_f32_slice(target);
                }
            });
            let shape = MapShape { images: samples.len(), height: shape.height, width: shape.width };
            RawMaps { values, shape }
        };
        self.maps.iter().map(of).collect()
    }
}
