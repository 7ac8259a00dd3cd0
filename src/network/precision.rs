//! What a network computes with.

use serde::{Deserialize, Serialize};

/// What a network computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32 values, as its weights are.
    #[default]
    F32,
    /// Bytes, where there is a way to: faster on processors, a little less exact.
    Int8,
}

impl Precision {
    /// Whether it is [`Precision::F32`].
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}
