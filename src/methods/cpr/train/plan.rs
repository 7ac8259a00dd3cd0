//! What a preset stands for, and every number of a training.

use super::{LossParams, OptimiserParams, PairParams, SampleParams};
use crate::dataset::synthetic::{ProductKind, SyntheticParams};
use crate::error::{Error, Result};
use crate::methods::fitting::{apply, plain};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// How large the learned branch is: the paper's three variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// CPR: 384 channels.
    Standard,
    /// CPR-Fast: 64 channels.
    Fast,
    /// CPR-Faster: 16 channels.
    Faster,
}

impl Preset {
    /// Its name in a bundle and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Fast => "fast",
            Self::Faster => "faster",
        }
    }

    /// The numbers that it stands for. Steps are fixed for a kind of product, never for a single one: to choose them by its test
    /// images would be choosing by the answers. The paper's 40,000 (objects) or 500 (textures) steps of batch 32 are for GPUs.
    fn plan(self, kind: ProductKind) -> Plan {
        let (outputs, batch, object, texture) = match self {
            Self::Standard => (384, 4, 3000, 100),
            Self::Fast => (64, 4, 200, 100),
            Self::Faster => (16, 8, 100, 100),
        };
        let steps = if kind == ProductKind::Object { object } else { texture };
        // As many queries as steps: none is seen more often than there are in a batch.
        let samples = SampleParams::default();
        let samples = SampleParams { queries: samples.queries.max(steps), ..samples };
        Plan {
            outputs,
            batch,
            steps,
            minutes: None,
            optimiser: OptimiserParams::default(),
            loss: LossParams::default(),
            pairs: PairParams::default(),
            samples,
            synthetic: SyntheticParams::default(),
            texture_images: 32,
        }
    }
}

/// What the user wants of the learned branch.
#[derive(Clone, Debug)]
pub struct Learning {
    /// The preset.
    pub preset: Preset,
    /// Steps instead of the preset's.
    pub steps: Option<usize>,
    /// Queries of a step instead of the preset's.
    pub batch: Option<usize>,
    /// Length of a step instead of the paper's.
    pub learning_rate: Option<f64>,
    /// Learning ends after so many minutes, even if there are steps left.
    pub minutes: Option<f64>,
    /// Numbers of the [`Plan`] by name, over those of the preset.
    pub set: Vec<(String, String)>,
    /// A folder of textures for synthetic defects; none: built-in ones.
    pub textures: Option<PathBuf>,
    /// Real defective images with masks to learn from, too.
    pub defects: Option<PathBuf>,
    /// Where what was learned is kept until it is in a bundle.
    pub checkpoint: PathBuf,
    /// What to do with what is kept there.
    pub resume: Resume,
}

/// What to do with what an earlier fit has learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Learn from the beginning.
    Anew,
    /// Go on with it; an error if that cannot be.
    GoOn,
    /// Go on with it if it is of the same training.
    IfPossible,
}

impl Learning {
    /// All of a preset, from the beginning and with built-in textures, kept in `checkpoint` on the way.
    pub fn new(preset: Preset, checkpoint: PathBuf) -> Self {
        Self {
            preset,
            steps: None,
            batch: None,
            learning_rate: None,
            minutes: None,
            set: Vec::new(),
            textures: None,
            defects: None,
            checkpoint,
            resume: Resume::Anew,
        }
    }

    /// What was asked for beyond the preset, by the name of the setting.
    pub fn settings(&self) -> Vec<(String, Value)> {
        let Self { steps, batch, learning_rate, minutes, textures, defects, set, .. } = self;
        let own = [
            ("steps", json!(steps)),
            ("batch", json!(batch)),
            ("lr", json!(learning_rate)),
            ("minutes", json!(minutes)),
            ("textures", json!(textures.as_deref().map(Path::to_string_lossy))),
            ("defects", json!(defects.as_deref().map(Path::to_string_lossy))),
        ];
        let own = own.into_iter().filter(|(_, value)| !value.is_null());
        let set = set.iter().map(|(name, text)| (name.clone(), plain(text)));
        own.map(|(name, value)| (name.into(), value)).chain(set).collect()
    }

    /// What to say when the user stops after `steps` steps, which the checkpoint keeps.
    pub(in crate::methods::cpr) fn paused(&self, steps: usize) -> Error {
        Error::Paused { checkpoint: self.checkpoint.clone(), steps }
    }
}

/// Every number of a training; what a bundle says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Channels of the learned features, D.
    pub outputs: usize,
    /// Queries of a step, each with a reference.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// Minutes after which it ends before its last step.
    pub minutes: Option<f64>,
    /// AdamW.
    pub optimiser: OptimiserParams,
    /// The loss.
    pub loss: LossParams,
    /// The pairs of places.
    pub pairs: PairParams,
    /// The samples.
    pub samples: SampleParams,
    /// The synthetic defects.
    pub synthetic: SyntheticParams,
    /// Training images at most that built-in textures take pieces from.
    pub texture_images: usize,
}

/// Steps and queries at most: more is a slip of the finger.
const MOST_STEPS: usize = 10_000_000;
const MOST_QUERIES: usize = 4096;
/// Learned channels at most, far beyond the paper's.
const MOST_CHANNELS: usize = 4096;
/// Power of the loss at most.
const MOST_POWER: usize = 16;

impl Learning {
    /// The plan for a kind of product.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn plan(&self, kind: ProductKind) -> Result<Plan> {
        let mut plan = apply(&self.set, self.preset.plan(kind), &[], "learning.")?;
        let within = |name: &str, value: usize, most: usize| match (1..=most).contains(&value) {
            true => Ok(value),
            false => Err(Error::Setting(format!("{name} must be 1 to {most}, not {value}"))),
        };
        if let Some(steps) = self.steps {
            plan.steps = within("the number of steps", steps, MOST_STEPS)?;
        }
        if let Some(batch) = self.batch {
            plan.batch = within("the batch", batch, MOST_QUERIES)?;
        }
        let positive = |name: &str, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(value),
            false => Err(Error::Setting(format!("{name} must be above 0, not {value}"))),
        };
        if let Some(rate) = self.learning_rate {
            plan.optimiser.learning_rate = positive("the learning rate", rate)?;
        }
        plan.minutes = self.minutes.map(|minutes| positive("the number of minutes", minutes)).transpose()?;
        within("learning.outputs", plan.outputs, MOST_CHANNELS)?;
        within("learning.samples.images", plan.samples.images, MOST_STEPS)?;
        within("learning.samples.queries", plan.samples.queries, MOST_STEPS)?;
        within("learning.loss.power", plan.loss.power, MOST_POWER)?;
        plan.optimiser.check()?;
        plan.synthetic.check().map_err(|e| match e {
            Error::Setting(problem) => Error::Setting(format!("learning.synthetic.{problem}")),
            other => other,
        })?;
        // More samples than steps ask for would be made for nothing.
        let asked = plan.steps.saturating_mul(plan.batch);
        plan.samples.queries = plan.samples.queries.min(asked);
        plan.samples.references = plan.samples.references.min(asked);
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learning() -> Learning {
        Learning::new(Preset::Faster, PathBuf::new())
    }

    #[test]
    fn presets_differ_by_kind_and_can_be_overridden() {
        let (object, texture) =
            (learning().plan(ProductKind::Object).unwrap(), learning().plan(ProductKind::Texture).unwrap());
        assert!(object.outputs == 16 && object.steps >= texture.steps);
        let own = Learning { steps: Some(2), batch: Some(3), learning_rate: Some(0.5), ..learning() };
        let plan = own.plan(ProductKind::Object).unwrap();
        assert_eq!((plan.steps, plan.batch, plan.samples.queries), (2, 3, 6));
        assert_eq!(plan.optimiser.learning_rate, 0.5);
    }

    #[test]
    fn absurd_numbers_are_refused() {
        let refused = |learning: Learning| learning.plan(ProductKind::Object).unwrap_err().to_string();
        assert!(refused(Learning { batch: Some(0), ..learning() }).contains("batch must be 1 to"));
        assert!(refused(Learning { learning_rate: Some(f64::NAN), ..learning() }).contains("above 0"));
        assert!(refused(Learning { minutes: Some(-1.0), ..learning() }).contains("minutes"));
        let set = |name: &str, value: &str| Learning { set: vec![(name.into(), value.into())], ..learning() };
        assert!(refused(set("outputs", "0")).contains("learning.outputs must be 1 to"));
        assert!(
            refused(set("optimiser.cooldown", "2")).contains("learning.optimiser.cooldown must be 0 to 1")
        );
        assert!(refused(set("optimizer", "2")).contains("unknown parameter 'learning.optimizer'"));
        assert!(
            refused(set("synthetic", "3"))
                .contains("learning.synthetic.attempts, learning.synthetic.fill.NAME")
        );
        assert!(
            refused(set("synthetic.real.count", "[5,1]"))
                .contains("learning.synthetic.real.count: the first value must not be above the second")
        );
        assert!(!set("loss.weighted", "false").plan(ProductKind::Object).unwrap().loss.weighted);
    }
}
