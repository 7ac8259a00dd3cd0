//! How good a bundle is: metrics, calibration, reports.

pub mod calibration;
