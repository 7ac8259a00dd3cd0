//! The hot loops that methods share.
//!
//! Each kernel is plain code that anyone can read; where the compiler needs telling that a wider instruction
//! set is there, `simd::wide` compiles the same code once more for it and chooses at run time. Only the searches
//! and the Mahalanobis distances are written by hand for an instruction set, and tested against their plain form.

pub mod blur;
pub mod centroids;
pub mod cholesky;
pub mod components;
pub mod finite;
pub mod histogram;
pub mod mahalanobis;
pub mod mutual;
pub mod nearest;
pub mod parallel;
pub mod resize;
pub mod simd;
pub mod top;
#[cfg(target_arch = "x86_64")]
mod vector;
pub mod windowed;
