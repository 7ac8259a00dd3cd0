//! Arguments of the learned branch.

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, ValueEnum};
use gstanomaly::methods::cpr::train::{Learning, Preset, Resume};
use std::path::{Path, PathBuf};

/// What the patches are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PresetArgument {
    /// The backbone's features as they are: nothing is learned
    Raw,
    /// Learned features of 384 channels (CPR)
    Standard,
    /// Learned features of 64 channels (CPR-Fast)
    Fast,
    /// Learned features of 16 channels (CPR-Faster)
    Faster,
}

/// Names and values of parameters.
pub type Settings = Vec<(String, String)>;

/// Parameters of the learned branch, `learning.NAME`, by their names there, and the others.
pub fn split(set: impl IntoIterator<Item = (String, String)>) -> (Settings, Settings) {
    let (mut learning, mut others) = (Settings::new(), Settings::new());
    for (name, value) in set {
        match name.strip_prefix("learning.") {
            Some(name) => learning.push((name.into(), value)),
            None => others.push((name, value)),
        }
    }
    (learning, others)
}

impl PresetArgument {
    /// What it learns for a bundle at `out`, if anything.
    pub fn learning(self, out: &Path) -> Option<Learning> {
        let preset = match self {
            Self::Raw => return None,
            Self::Standard => Preset::Standard,
            Self::Fast => Preset::Fast,
            Self::Faster => Preset::Faster,
        };
        Some(Learning::new(preset, checkpoint(out)))
    }
}

/// Arguments of the learned branch.
#[derive(Debug, Args)]
#[command(next_help_heading = "Learned branch")]
pub struct LearningArguments {
    /// What patches are compared by; the learned ones take minutes to hours longer, and until they are shown to be better on
    /// all kinds of products, raw is the default
    #[arg(long, value_enum, default_value = "raw")]
    preset: PresetArgument,
    /// Training steps; 0: nothing is learned [default: the preset's, one number for objects and one for textures]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Image pairs of a step [default: the preset's]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Learning rate [default: 0.001]
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Stop learning after so many minutes; the same seed then no longer gives the same bundle
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
    /// Folder of texture images that synthetic defects are made of [default: built-in procedural textures]
    #[arg(long, value_name = "DIR")]
    textures: Option<PathBuf>,
    /// Learn from real defects, too: a data set with test/DEFECT and ground_truth/DEFECT, or images with NAME_mask.png beside
    /// them; 'adtrain eval' refuses these images as test images
    #[arg(long, value_name = "DIR")]
    defects: Option<PathBuf>,
    /// Go on with what was learned by a fit that was interrupted or failed
    #[arg(long)]
    resume: bool,
}

impl LearningArguments {
    /// Whether anything of it was asked for.
    pub fn are_given(&self) -> bool {
        let Self { preset, steps, batch, lr, minutes, textures, defects, resume } = self;
        *preset != PresetArgument::Raw
            || steps.is_some()
            || batch.is_some()
            || lr.is_some()
            || minutes.is_some()
            || textures.is_some()
            || defects.is_some()
            || *resume
    }

    /// What is to be learned for a bundle at `out`, if anything; `set` are numbers of it by name.
    pub fn learning(&self, out: &Path, set: Settings) -> Option<Learning> {
        let Some(learning) = self.preset.learning(out).filter(|_| self.steps != Some(0)) else {
            self.refuse_unused(&set);
            return None;
        };
        Some(Learning {
            steps: self.steps,
            batch: self.batch,
            learning_rate: self.lr,
            minutes: self.minutes,
            set,
            textures: self.textures.clone(),
            defects: self.defects.clone(),
            resume: if self.resume { Resume::GoOn } else { Resume::Anew },
            ..learning
        })
    }

    /// Ends as on a wrong command line if something was asked for that only a learned branch has.
    fn refuse_unused(&self, set: &[(String, String)]) {
        let given = [
            ("--steps", self.steps.is_some_and(|steps| steps > 0)),
            ("--batch", self.batch.is_some()),
            ("--lr", self.lr.is_some()),
            ("--minutes", self.minutes.is_some()),
            ("--textures", self.textures.is_some()),
            ("--defects", self.defects.is_some()),
            ("--resume", self.resume),
            ("--set learning.NAME", !set.is_empty()),
        ];
        if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
            let problem =
                format!("{name} needs a learned branch; choose one with --preset standard, fast or faster");
            crate::CommandLine::command().error(ErrorKind::MissingRequiredArgument, problem).exit();
        }
    }
}

/// An interrupted training is kept beside its bundle.
fn checkpoint(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".checkpoint");
    out.with_file_name(name)
}
