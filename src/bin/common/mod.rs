//! What `adtrain` and `adaudit` share.

pub mod failure;
pub mod hardware;
pub mod interrupt;
pub mod overlay;
pub mod pictures;
