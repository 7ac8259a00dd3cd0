//! Where inference runs.

use crate::error::{Error, Result};

/// A device that the user can ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// The best one that this build and this machine have.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA card through the CUDA execution provider.
    Cuda,
    /// An NVIDIA card through TensorRT.
    TensorRt,
    /// Intel devices through OpenVINO.
    OpenVino,
}

impl Device {
    /// The name that the properties and the command line use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        }
    }

    /// The device that really runs when this one is asked for.
    ///
    /// # Errors
    /// If this build has no support for it: a device asked for by name is never replaced silently.
    pub fn resolve(self) -> Result<Self> {
        let missing = match self {
            Self::Auto | Self::Cpu => return Ok(Self::Cpu),
            Self::Cuda => "the CUDA execution provider",
            Self::TensorRt => "the TensorRT execution provider",
            Self::OpenVino => "the OpenVINO execution provider",
        };
        Err(Error::Device {
            device: self.name().into(),
            reason: format!("this build was made without {missing}; use device=auto or device=cpu"),
        })
    }
}

impl std::str::FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Auto, Self::Cpu, Self::Cuda, Self::TensorRt, Self::OpenVino]
            .into_iter()
            .find(|device| device.name() == name)
            .ok_or_else(|| {
                Error::Setting(format!(
                    "unknown device '{name}': expected auto, cpu, cuda, tensorrt or openvino"
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_an_error_that_says_what_to_do() {
        assert_eq!(Device::Auto.resolve().unwrap(), Device::Cpu);
        for device in [Device::Cuda, Device::TensorRt, Device::OpenVino] {
            let message = device.resolve().unwrap_err().to_string();
            assert!(message.contains(device.name()) && message.contains("device=cpu"), "{message}");
        }
    }
}
