//! The `device` property.

use crate::network::Device;

/// Where the work is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstAnomalyDevice")]
#[repr(i32)]
pub enum DeviceChoice {
    /// The best device that this build and this machine have.
    #[default]
    #[enum_value(name = "The best one there is", nick = "auto")]
    Auto,
    /// The processor.
    #[enum_value(name = "The processor", nick = "cpu")]
    Cpu,
    /// An NVIDIA card through CUDA.
    #[enum_value(name = "NVIDIA card through CUDA", nick = "cuda")]
    Cuda,
    /// An NVIDIA card through TensorRT.
    #[enum_value(name = "NVIDIA card through TensorRT", nick = "tensorrt")]
    Tensorrt,
    /// Intel devices through OpenVINO.
    #[enum_value(name = "Intel device through OpenVINO", nick = "openvino")]
    Openvino,
}

impl From<DeviceChoice> for Device {
    fn from(choice: DeviceChoice) -> Self {
        match choice {
            DeviceChoice::Auto => Self::Auto,
            DeviceChoice::Cpu => Self::Cpu,
            DeviceChoice::Cuda => Self::Cuda,
            DeviceChoice::Tensorrt => Self::TensorRt,
            DeviceChoice::Openvino => Self::OpenVino,
        }
    }
}
