//! One graph on one device, checked against what the method expects of it.

use super::{Device, FeatureMap, cores, runtime};
use crate::error::{Error, Result};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Tensor, TensorElementType, ValueType};
use std::sync::{Arc, Mutex, PoisonError};

/// An output that a method needs from the graph of its bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSpec {
    /// Role name, such as `local_0`.
    pub name: String,
    /// Whether its elements are bytes (codes) instead of f32.
    pub bytes: bool,
    /// Its shape, every side fixed.
    pub shape: Vec<usize>,
}

impl OutputSpec {
    /// An f32 output.
    pub fn floats(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self { name: name.into(), bytes: false, shape: shape.into() }
    }

    /// A u8 output.
    pub fn bytes(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self { name: name.into(), bytes: true, shape: shape.into() }
    }
}

/// A loaded graph with its input tensor.
#[derive(Debug)]
pub struct Network {
    session: Session,
    outputs: Vec<OutputSpec>,
    input_name: String,
    input_len: usize,
    input_shape: [usize; 4],
    device: Device,
    threads: usize,
}

/// A network that several streams of a process use in turn.
pub type SharedNetwork = Arc<Mutex<Network>>;

impl Network {
    /// Loads the ONNX graph in `model` for inputs of `width` x `height`, with `threads` (0: all [`cores`] that the process may use).
    ///
    /// # Errors
    /// If ONNX Runtime or the device is missing, the graph is not valid, or it does not have the one image
    /// input and all the `outputs` with the expected types and shapes.
    pub fn load(
        model: &[u8],
        (width, height): (u32, u32),
        outputs: Vec<OutputSpec>,
        device: Device,
        threads: usize,
    ) -> Result<Self> {
        let device = device.resolve()?;
        let threads = if threads == 0 { cores() } else { threads };
        let environment = runtime::load()?;
        let builder = Session::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            // Threads that spin between two operators take the cores from the rest of the pipeline and from other processes, which then
            // wait for each other: two of them on two cores were slower by half.
            .with_intra_op_spinning(false)?;
        let session = { builder }.commit_from_memory(model)?;
        let input_shape = [1, 3, height as usize, width as usize];
        let input_name = check_input(&session, input_shape)?;
        for output in &outputs {
            check_output(&session, output)?;
        }
        Ok(Self {
            session,
            outputs,
            input_name,
            input_len: input_shape.iter().product(),
            input_shape,
            device,
            threads,
        })
    }

    /// The device that really runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Its threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// An input tensor `[1, 3, height, width]` of zeros, to be filled and given to [`Network::run`] again and again.
    ///
    /// # Errors
    /// If it cannot be allocated.
    pub fn new_input(&self) -> Result<Tensor<f32>> {
        Ok(Tensor::from_array((self.input_shape, vec![0f32; self.input_len]))?)
    }

    /// Runs the graph; the maps come in the order of the outputs given to [`Network::load`].
    ///
    /// # Errors
    /// If ONNX Runtime fails or returns something else than it declared.
    pub fn run(&mut self, input: &Tensor<f32>) -> Result<Vec<FeatureMap>> {
        let mut found = self.session.run(ort::inputs![self.input_name.as_str() => input])?;
        self.outputs
            .iter()
            .map(|spec| {
                let value = found
                    .remove(&spec.name)
                    .ok_or_else(|| Error::Runtime(format!("the graph returned no '{}'", spec.name)))?;
                FeatureMap::from_value(spec, value)
            })
            .collect()
    }
}

/// Locks a shared network; a panic of another stream does not spoil it, since every run starts afresh.
pub(crate) fn lock(network: &SharedNetwork) -> std::sync::MutexGuard<'_, Network> {
    network.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_input(session: &Session, expected: [usize; 4]) -> Result<String> {
    let [input] = session.inputs() else {
        return Err(Error::Runtime(format!(
            "expected a graph with one image input, found {} inputs",
            session.inputs().len()
        )));
    };
    let fits = matches!(input.dtype(), ValueType::Tensor { ty: TensorElementType::Float32, shape, .. }
        if fits(shape, &expected));
    if !fits {
        return Err(Error::Runtime(format!(
            "input '{}': expected f32 {expected:?}, found {}",
            input.name(),
            input.dtype()
        )));
    }
    Ok(input.name().to_owned())
}

fn check_output(session: &Session, expected: &OutputSpec) -> Result<()> {
    let wanted = if expected.bytes { TensorElementType::Uint8 } else { TensorElementType::Float32 };
    let Some(output) = session.outputs().iter().find(|output| output.name() == expected.name) else {
        let names: Vec<_> = session.outputs().iter().map(|output| output.name()).collect();
        return Err(Error::Runtime(format!("the graph has no output '{}', only {names:?}", expected.name)));
    };
    let fits = matches!(output.dtype(), ValueType::Tensor { ty, shape, .. } if *ty == wanted && fits(shape, &expected.shape));
    if !fits {
        return Err(Error::Runtime(format!(
            "output '{}': the bank expects {wanted:?} {:?}, the graph has {}",
            expected.name,
            expected.shape,
            output.dtype()
        )));
    }
    Ok(())
}

/// Whether a declared shape (-1: any) can be the expected one.
fn fits(declared: &[i64], expected: &[usize]) -> bool {
    declared.len() == expected.len()
        && declared
            .iter()
            .zip(expected)
            .all(|(&declared, &expected)| declared < 0 || declared as usize == expected)
}
