//! The hot loops that methods share.
//!
//! Each kernel is plain code that anyone can read; where the compiler needs telling that a wider instruction
//! set is there, `simd::wide` compiles the same code once more for it and chooses at run time. Only the windowed
//! search and the products of the nearest rows are written by hand for an instruction set, and are tested against plain forms.

pub mod blur;
pub mod components;
pub mod histogram;
pub mod nearest;
pub mod parallel;
pub mod resize;
pub mod simd;
pub mod top;
pub mod windowed;
