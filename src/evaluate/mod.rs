//! How good a bundle is: metrics of its scores and maps, calibration,
//! decisions at its threshold, and the report that shows them.

pub mod calibration;
mod components;
mod decisions;
mod levels;
mod metrics;
mod odd;
mod pixels;
mod report;
pub(crate) mod tail;

pub use components::label_components;
pub use decisions::{Confusion, Rate};
pub use levels::LevelCounts;
pub use metrics::{MetricError, MetricParams, OperatingPoint, RankingMetrics, image_metrics};
pub use odd::{Odd, OddParams, odd};
pub use pixels::{OverlapPoint, PixelMetrics, PixelSamples, pixel_metrics};
pub use report::{
    ComparedMethod, Comparison, Example, ExampleResult, LearningPoint, MethodFigures, ModelFacts, Outcome,
    PixelFigures, Report, ReportError, ReportImage, ReportParams, Timing, TrainingImage, TrainingReport,
    UNFINISHED, WarnLevel, write_atomically,
};
