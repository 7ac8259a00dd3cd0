//! A training on disk that is in no bundle yet: weights, the optimiser's memory, the losses so far, and what it is a training of.

use super::optimiser::{Learner, Moments};
use super::{Losses, ScaleShape, Weights};
use crate::error::{Error, Result};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Keys of the metadata.
const IDENTITY: &str = "identity";
const LOSSES: &str = "losses";
const ENDED: &str = "ended";
/// Prefixes of the tensors' names.
const WEIGHTS: &str = "weights";
const FIRST: &str = "first";
const SECOND: &str = "second";

/// What must be the same to go on with a training, and to take one that has ended as it is.
#[derive(Debug)]
pub(super) struct Terms {
    pub identity: Value,
    /// How long it was to last.
    pub length: Value,
}

/// What a checkpoint says beside the weights.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Progressed {
    pub losses: Vec<Losses>,
    /// It has lasted as long as it was to, by steps or by time.
    pub ended: bool,
}

/// Writes a training to `path`, all of it or nothing; it has `ended`, or it was interrupted.
///
/// # Errors
/// If it cannot be written.
pub(super) fn save(
    path: &Path,
    learner: &Learner,
    losses: &[Losses],
    terms: &Terms,
    ended: bool,
) -> Result<()> {
    let moments = learner.moments();
    let mut tensors: BTreeMap<String, (Vec<usize>, &[f32])> = BTreeMap::new();
    for (name, values) in learner.weights().iter() {
        tensors.insert(format!("{WEIGHTS}.{name}"), (values.shape.clone(), &values.values));
    }
    for (name, Moments { first, second }) in &moments {
        tensors.insert(format!("{FIRST}.{name}"), (vec![first.len()], first));
        tensors.insert(format!("{SECOND}.{name}"), (vec![second.len()], second));
    }
    let bad = |e: &dyn std::fmt::Display| Error::file(path, format!("cannot be written: {e}"));
    let views = tensors
        .into_iter()
        .map(|(name, (shape, values))| {
            Ok((name, TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values))?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| bad(&e))?;
    let losses = serde_json::to_string(losses).map_err(|e| bad(&e))?;
    let mut metadata =
        HashMap::from([(IDENTITY.into(), terms.identity.to_string()), (LOSSES.into(), losses)]);
    if ended {
        metadata.insert(ENDED.into(), terms.length.to_string());
    }
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| bad(&e))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".checkpoint-")
        .tempfile_in(folder)
        .map_err(|e| Error::io(folder, e))?;
    let written = std::io::Write::write_all(&mut file, &bytes).and_then(|()| file.as_file().sync_all());
    written.map_err(|e| Error::io(path, e))?;
    file.persist(path).map_err(|e| Error::io(path, e.error))?;
    Ok(())
}

/// Brings `learner` to where the training in `path` stopped.
///
/// # Errors
/// If there is none, it is damaged, or it is another training than that of `terms`; then `learner` stays as it is.
pub(super) fn load(
    path: &Path,
    learner: &mut Learner,
    scales: &[ScaleShape],
    terms: &Terms,
) -> Result<Progressed> {
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::file(path, "no such checkpoint: there is no training to go on with")
        }
        _ => Error::io(path, e),
    })?;
    let damaged = |e: &dyn std::fmt::Display| Error::file(path, format!("not a usable checkpoint: {e}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let entry = |key: &str| metadata.get(key).ok_or_else(|| damaged(&format!("it has no {key}")));
    let found: Value = serde_json::from_str(entry(IDENTITY)?).map_err(|e| damaged(&e))?;
    let losses: Vec<Losses> = serde_json::from_str(entry(LOSSES)?).map_err(|e| damaged(&e))?;
    // What was written and read again may differ in a number's last digit, so that both have to be.
    let expected = serde_json::from_str(&terms.identity.to_string()).map_err(|e| damaged(&e))?;
    let other = differences(&found, &expected);
    if !other.is_empty() {
        let problem = format!(
            "it is of another training: {} differ; use the settings that it was started with, or start anew without --resume",
            other.join(", ")
        );
        return Err(Error::file(path, problem));
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e))?;
    let read = |prefix: &str, name: &str| -> Result<Vec<f32>> {
        let tensor = tensors.tensor(&format!("{prefix}.{name}")).map_err(|e| damaged(&e))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(damaged(&format!("'{prefix}.{name}' is not of f32 values")));
        }
        Ok(tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    };
    let weights = Weights::read(scales, |name| read(WEIGHTS, name))?;
    let mut moments = BTreeMap::new();
    for name in tensors.names().iter().filter_map(|name| name.strip_prefix(FIRST)?.strip_prefix('.')) {
        let (first, second) = (read(FIRST, name)?, read(SECOND, name)?);
        let expected = weights.iter().find(|(own, _)| *own == name).map(|(_, values)| values.values.len());
        if expected != Some(first.len()) || expected != Some(second.len()) {
            return Err(damaged(&format!("the moments of '{name}' do not fit its weights")));
        }
        moments.insert(name.to_owned(), Moments { first, second });
    }
    learner.restore(losses.len(), weights, &moments);
    let length = terms.length.to_string();
    let ended = metadata.get(ENDED) == Some(&length);
    Ok(Progressed { losses, ended })
}

/// The names of the fields in which two objects differ.
fn differences(found: &Value, expected: &Value) -> Vec<String> {
    let names = |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    let mut names = [names(found), names(expected)].into_iter().flatten().flatten().collect::<Vec<_>>();
    names.sort();
    names.dedup();
    names.retain(|name| found.get(name) != expected.get(name));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::cpr::train::{LossParams, OptimiserParams};
    use serde_json::json;

    const SCALES: [ScaleShape; 1] = [ScaleShape { inputs: 3, outputs: 2 }];

    fn learner() -> Learner {
        let weights = Weights::initial(&SCALES, 3);
        let mut learner =
            Learner::new(SCALES.into(), weights, LossParams::default(), &OptimiserParams::default());
        let gradients =
            learner.weights().iter().map(|(name, values)| (name.to_owned(), values.values.clone()));
        learner.descend(gradients.collect());
        learner
    }

    fn terms(identity: Value) -> Terms {
        Terms { identity, length: json!([1, null]) }
    }

    #[test]
    fn a_training_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.checkpoint");
        let mut terms = terms(json!({"seed": 1, "batch": 2, "margin": 0.8f32, "rate": 1e-3}));
        let losses = vec![Losses { positive: 0.5, negative: 0.25 }];
        save(&path, &learner(), &losses, &terms, false).unwrap();
        let mut other = Learner::new(
            SCALES.into(),
            Weights::initial(&SCALES, 9),
            LossParams::default(),
            &OptimiserParams::default(),
        );
        let read = load(&path, &mut other, &SCALES, &terms).unwrap();
        assert_eq!(read, Progressed { losses: losses.clone(), ended: false });
        assert_eq!((other.steps(), other.weights()), (1, learner().weights()));
        assert_eq!(other.moments(), learner().moments());

        // Who wants more has not seen the end of it.
        save(&path, &learner(), &losses, &terms, true).unwrap();
        assert!(load(&path, &mut other, &SCALES, &terms).unwrap().ended);
        terms.length = json!([2, null]);
        assert!(!load(&path, &mut other, &SCALES, &terms).unwrap().ended);

        terms.identity["seed"] = json!(2);
        let message = load(&path, &mut other, &SCALES, &terms).unwrap_err().to_string();
        assert!(message.contains("another training: seed differ"), "{message}");
    }

    #[test]
    fn what_is_no_checkpoint_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.checkpoint");
        let (mut learner, terms) = (learner(), terms(json!({})));
        let mut message = || load(&path, &mut learner, &SCALES, &terms).unwrap_err().to_string();
        assert!(message().contains("no training to go on with"));
        std::fs::write(&path, "something else").unwrap();
        assert!(message().contains("not a usable checkpoint"));
        let full = save(Path::new("/dev/full/x"), &learner, &[], &terms, true).unwrap_err().to_string();
        assert!(full.contains("/dev/full"), "{full}");
    }
}
