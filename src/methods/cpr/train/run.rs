//! A training from start to end: samples, loop, checkpoint, and what the bundle says of it.

use super::checkpoint::{self, Progressed, Terms};
use super::memory::KeptMemory;
use super::plan::{Learning, Plan, Resume};
use super::samples::{Pool, Workshop, choose};
use super::trainer::{self, Ending};
use super::{Learner, Losses, ScaleShape, Weights};
use crate::bundle::{BranchTraining, CurvePoint, UsedDefect, hash_file};
use crate::dataset::defect_images;
use crate::dataset::synthetic::{PictureLoader, ProductKind, RealDefects, SyntheticDefects, texture_source};
use crate::error::{Error, Result};
use crate::frame::InputSpec;
use crate::kernels::windowed::Shape;
use crate::methods::cpr::heads::{self, ForegroundHead};
use crate::methods::cpr::{CODES, FOREGROUND, Params};
use crate::methods::fitting::{FitOptions, Progress};
use crate::network::graph::GraphBuilder;
use crate::network::{Network, OutputSpec};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Points of the learning curve that a bundle keeps.
const CURVE: usize = 200;
/// Seed of the first weights apart from those of the samples.
const WEIGHTS_SEED: u64 = 0x10ca1;

/// What is known of the product before the branch learns.
pub(in crate::methods::cpr) struct Groundwork<'a> {
    pub options: &'a FitOptions,
    pub paths: &'a [PathBuf],
    /// SHA-256 of the images.
    pub hashes: &'a [&'a str],
    pub input: &'a InputSpec,
    /// The layers by name, with the shapes of their raw features, finest first.
    pub layers: &'a [(&'a str, Shape)],
    pub centres: &'a [f32],
    pub foreground: Option<&'a ForegroundHead>,
    pub params: &'a Params,
}

/// What was learned.
pub(in crate::methods::cpr) struct Learned {
    pub weights: Weights,
    pub steps: usize,
    /// It is in the checkpoint, too.
    pub kept: bool,
    pub training: BranchTraining,
}

impl Groundwork<'_> {
    /// Objects have a place for each of their parts, which is what an estimated foreground tells.
    fn kind(&self) -> ProductKind {
        if self.foreground.is_some() { ProductKind::Object } else { ProductKind::Texture }
    }

    /// Learns the branch.
    ///
    /// # Errors
    /// If a sample cannot be made, the disk is full, the training diverges or a checkpoint does not fit. What has been learned is kept as
    /// a checkpoint, which the error names if the user interrupts.
    pub fn learn(&self, learning: &Learning, progress: &mut dyn Progress) -> Result<Learned> {
        let plan = learning.plan(self.kind())?;
        let scales: Vec<ScaleShape> = self
            .layers
            .iter()
            .map(|(_, shape)| ScaleShape { inputs: shape.channels, outputs: plan.outputs })
            .collect();
        let loader = PictureLoader::new((self.input.width, self.input.height), self.input.fit)?
            .with_range(self.input.range);
        let (defects, used) = self.defects(learning, &loader, progress)?;
        let terms = Terms {
            identity: self.identity(learning, &plan, &used),
            length: json!([plan.steps, plan.minutes]),
        };
        let mut learner = Learner::new(
            scales.clone(),
            Weights::initial(&scales, self.options.seed ^ WEIGHTS_SEED),
            plan.loss.clone(),
            &plan.optimiser,
        );
        let Progressed { mut losses, ended } =
            self.earlier(learning, &mut learner, &scales, &terms, progress)?;
        let textures =
            texture_source(learning.textures.as_deref(), self.paths, plan.texture_images, &loader, progress)?;
        let mut generator = SyntheticDefects::new(plan.synthetic.clone(), self.kind(), textures)?;
        if let Some(defects) = defects {
            generator = generator.with_real_defects(defects);
        }
        let mut kept = true;
        if !ended && losses.len() < plan.steps {
            let pool = self.pool(&plan, &generator, loader, progress)?;
            let how = (&plan, self.kind(), self.options.seed);
            let _memory = KeptMemory::begin();
            let ending = trainer::learn(&mut learner, &mut losses, &pool, how, progress)?;
            // Its samples fill the disk that the checkpoint needs.
            drop(pool);
            let ended = ending == Ending::Done;
            match checkpoint::save(&learning.checkpoint, &learner, &losses, &terms, ended) {
                Ok(()) if ended => {}
                Ok(()) => return Err(learning.paused(losses.len())),
                // It only would have been of use if something failed later.
                Err(e) if ended => {
                    progress
                        .note(&format!("what was learned cannot be kept before it is in the bundle: {e}"));
                    kept = false;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(Learned {
            weights: learner.weights().clone(),
            steps: losses.len(),
            kept,
            training: self.describe(learning, &plan, &generator, used, &losses)?,
        })
    }

    /// What an earlier fit has learned, if the user wants to go on with that.
    fn earlier(
        &self,
        learning: &Learning,
        learner: &mut Learner,
        scales: &[ScaleShape],
        terms: &Terms,
        progress: &mut dyn Progress,
    ) -> Result<Progressed> {
        let path = &learning.checkpoint;
        let load = |learner| checkpoint::load(path, learner, scales, terms);
        let earlier = match learning.resume {
            Resume::GoOn => Some(load(learner)?),
            _ if !path.exists() => None,
            Resume::IfPossible => load(learner)
                .inspect_err(|e| progress.note(&format!("learning from the beginning: {e}")))
                .ok(),
            Resume::Anew => {
                progress.note(&format!(
                    "{}: what an earlier fit has learned is kept there; --resume goes on with it, this one starts anew",
                    path.display()
                ));
                None
            }
        };
        if let Some(earlier) = &earlier {
            progress.note(&format!("going on after step {}", earlier.losses.len()));
        }
        Ok(earlier.unwrap_or_default())
    }

    fn pool(
        &self,
        plan: &Plan,
        generator: &SyntheticDefects,
        loader: PictureLoader,
        progress: &mut dyn Progress,
    ) -> Result<Pool> {
        let mut workshop = Workshop {
            network: self.network()?,
            shapes: self.layers.iter().map(|(_, shape)| *shape).collect(),
            with_foreground: self.foreground.is_some(),
            loader,
            input: self.input,
            generator,
            params: &plan.samples,
            pairs: &plan.pairs,
            seed: self.options.seed,
            scratch: &self.options.scratch,
        };
        let global = &self.params.global;
        workshop.make(
            &choose(self.paths, plan.samples.images),
            self.params.blocks(self.input),
            (global.epsilon, global.kept_blocks, self.params.neighbours),
            progress,
        )
    }

    /// The backbone with raw features, codes and foreground.
    fn network(&self) -> Result<Network> {
        let size = (self.input.width, self.input.height);
        let graph = GraphBuilder::from_backbone(&self.options.backbone.model, size)?;
        let graph = heads::raw(graph, self.layers, self.centres, self.params.global.codes, self.foreground)?;
        let finest = self.layers[0].1;
        let raw = self.layers.iter().enumerate();
        let mut outputs: Vec<OutputSpec> = raw
            .map(|(i, (_, s))| OutputSpec::floats(heads::raw_role(i), [1, s.channels, s.height, s.width]))
            .collect();
        outputs.push(OutputSpec::bytes(CODES, [1, finest.height, finest.width]));
        if self.foreground.is_some() {
            outputs.push(OutputSpec::floats(FOREGROUND, [1, 1, finest.height, finest.width]));
        }
        Network::load(&graph, size, outputs, self.options.device, self.options.threads)
    }

    /// The real defects of a supervised training, and the files that they come from.
    fn defects(
        &self,
        learning: &Learning,
        loader: &PictureLoader,
        progress: &mut dyn Progress,
    ) -> Result<(Option<RealDefects>, Vec<UsedDefect>)> {
        let Some(folder) = &learning.defects else { return Ok((None, Vec::new())) };
        let defects = defect_images(folder)?.settle(self.options.strict, |text| progress.note(text))?;
        let defects =
            RealDefects::load(&defects, loader, progress).map_err(|e| Error::file(folder, e.to_string()))?;
        let used = defects.files().iter().map(|path| {
            let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
            Ok(UsedDefect { name, sha256: hash_file(path)? })
        });
        let used = used.collect::<Result<_>>()?;
        Ok((Some(defects), used))
    }

    /// What must be the same for a training to go on.
    fn identity(&self, learning: &Learning, plan: &Plan, used: &[UsedDefect]) -> Value {
        let plan = Plan { steps: 0, minutes: None, ..plan.clone() };
        json!({
            "images": self.hashes,
            "kind": self.kind().name(),
            "backbone": self.options.backbone.card.sha256,
            "precision": self.options.precision,
            "layers": self.layers.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            "input": self.input,
            "params": self.params,
            "seed": self.options.seed,
            "textures": learning.textures,
            "defects": used,
            "training": plan,
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    fn describe(
        &self,
        learning: &Learning,
        plan: &Plan,
        generator: &SyntheticDefects,
        defects: Vec<UsedDefect>,
        losses: &[Losses],
    ) -> Result<BranchTraining> {
        Ok(BranchTraining {
            channels: plan.outputs,
            batch: plan.batch,
            kind: self.kind().name().into(),
            learning_rate: plan.optimiser.learning_rate,
            textures: generator.describe(),
            texture_folder: learning.textures.as_deref().map(|folder| name_of(folder).into()),
            params: serde_json::to_value(plan).map_err(|e| Error::Fit(e.to_string()))?,
            defects,
            curve: curve(losses),
        })
    }
}

fn name_of(folder: &Path) -> std::borrow::Cow<'_, str> {
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy()
}

/// The losses as a curve of at most [`CURVE`] points, each the mean of as many steps.
fn curve(losses: &[Losses]) -> Vec<CurvePoint> {
    let window = losses.len().div_ceil(CURVE).max(1);
    let point = |(i, window_losses): (usize, &[Losses])| {
        let mean = |part: fn(&Losses) -> f64| {
            window_losses.iter().map(part).sum::<f64>() / window_losses.len() as f64
        };
        CurvePoint {
            step: i * window + window_losses.len(),
            positive: mean(|loss| loss.positive),
            negative: mean(|loss| loss.negative),
        }
    };
    losses.chunks(window).enumerate().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_is_thinned() {
        let losses = |count: usize| vec![Losses { positive: 1.0, negative: 2.0 }; count];
        assert_eq!(curve(&losses(3)).len(), 3);
        let long = curve(&losses(1001));
        assert!(long.len() <= CURVE);
        let last = long.last().unwrap();
        assert_eq!((last.step, last.positive, last.negative), (1001, 1.0, 2.0));
        assert!(curve(&[]).is_empty());
    }
}
