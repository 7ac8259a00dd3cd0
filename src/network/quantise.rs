//! A graph whose convolutions compute with bytes, which is faster on processors.
//!
//! A value `x` between `least` and `most` becomes the byte `round(x / scale) + zero` with `scale = (most - least) / 255`; what lies
//! beyond is cut off. Weights become signed bytes with a scale for each output channel. The graph says so by a QuantizeLinear and a
//! DequantizeLinear around each operator, which ONNX Runtime merges with it to one that computes with bytes; a runtime that cannot
//! computes with the same rounded numbers in f32.
//!
//! The ranges are measured on images that the graph is made for: [`Quantiser::probe`] tells them of one.

use super::graph::{GraphBuilder, int, invalid};
use super::onnx::*;
use crate::error::{Error, Result};
use prost::Message;
use std::collections::{HashMap, HashSet};

mod constants;
mod range;
mod rewriting;
mod weights;

pub use range::Range;
use range::Rounding;
use rewriting::Rewriting;

/// Outputs of [`Quantiser::probe`], `[values]`: the smallest and the largest element of each value.
pub const LEAST: &str = "gstanomaly/least";
/// See [`LEAST`].
pub const MOST: &str = "gstanomaly/most";

/// Operators that can compute with bytes, too, which is worth it where a value is one of bytes already.
const BETWEEN: [&str; 4] = ["Add", "Concat", "AveragePool", "MaxPool"];

/// What of a graph is going to compute with bytes.
#[derive(Debug)]
pub struct Quantiser {
    model: ModelProto,
    size: (u32, u32),
    /// What each of those operators makes, by the index of its node.
    operators: HashMap<usize, String>,
    /// Nodes that only cut off what an operator makes at zero, as bytes do by themselves.
    merged: HashSet<usize>,
    /// The values that are to become such of bytes.
    values: Vec<Value>,
    /// Those that are already, as in a graph that was looked at before.
    ready: HashMap<String, Ready>,
}

/// A value that becomes one of bytes.
#[derive(Debug)]
struct Value {
    name: String,
    /// Nothing that it is made of is rounded, as it is with the image itself.
    exact: bool,
}

/// A value that is there rounded.
#[derive(Clone, Debug, PartialEq)]
struct Ready {
    /// Under this name.
    name: String,
    rounding: Rounding,
}

impl Quantiser {
    /// Looks for what of `model`, a graph for images of `size`, leads to one of its `outputs` and can compute with bytes.
    ///
    /// # Errors
    /// As [`GraphBuilder::from_backbone`], and if it has branches or loops, or nothing can.
    pub fn new(model: &[u8], size: (u32, u32), outputs: &[String]) -> Result<Self> {
        GraphBuilder::from_backbone(model, size)?;
        let mut model = ModelProto::decode(model).map_err(|e| invalid(&format!("not an ONNX model: {e}")))?;
        let graph = model.graph.get_or_insert_default();
        if graph.node.iter().flat_map(|node| &node.attribute).any(|a| a.g.is_some() || !a.graphs.is_empty()) {
            return Err(invalid(
                "it has branches or loops, which bytes do not work with; use --precision f32",
            ));
        }
        constants::gather(graph);
        let graph = &*graph;
        let constants: HashMap<&str, &TensorProto> =
            graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_deref()?, tensor))).collect();
        let declared = graph.output.iter().filter_map(|output| output.name.as_deref());
        let results: HashSet<&str> = declared.chain(outputs.iter().map(String::as_str)).collect();
        let needed = leading_to(graph, outputs);
        let ready = ready(graph, &constants);
        let mut readers: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
        for node in &graph.node {
            node.input.iter().for_each(|name| readers.entry(name).or_default().push(node));
        }
        let readers = |name: &str| readers.get(name).map_or(&[][..], Vec::as_slice);
        // An operator whose result is rounded was found when the graph was looked at before.
        let is_done = |node: &NodeProto| {
            let mut read = node.output.iter().flat_map(|output| readers(output));
            read.any(|reader| reader.op_type.as_deref() == Some("QuantizeLinear"))
        };

        // What is made of rounded values, and by which node what is one of bytes.
        let mut rounded: HashSet<&str> = HashSet::new();
        let mut makers: HashMap<&str, usize> = HashMap::new();
        let (mut operators, mut merged) = (HashMap::new(), HashSet::new());
        for (i, node) in graph.node.iter().enumerate() {
            let Some(output) = node.output.first() else { continue };
            let input = node.input.first().map_or("", String::as_str);
            let is_bytes = ready.get(output).is_some_and(|found| found.name == *output);
            let of_bytes = |name: &String| makers.contains_key(name.as_str());
            let operator = needed.contains(&i)
                && match node.op_type.as_deref() {
                    Some("Conv") => has_constant_weights(node, &constants),
                    Some(op) => {
                        BETWEEN.contains(&op)
                            && node.output.len() == 1
                            && node.input.iter().all(|name| !constants.contains_key(name.as_str()))
                            && node.input.iter().any(of_bytes)
                            && !is_done(node)
                            && is_same_in_bytes(node)
                    }
                    None => false,
                };
            if operator {
                operators.insert(i, output.clone());
                makers.insert(output, i);
            } else if needed.contains(&i)
                && cuts_at_zero(node, &constants)
                && readers(input).len() == 1
                && !results.contains(input)
                && let Some(maker) = makers.get(input).copied().filter(|maker| operators.contains_key(maker))
                // What a maximum is rounded by is what its input was.
                && graph.node[maker].op_type.as_deref() != Some("MaxPool")
            {
                operators.insert(maker, output.clone());
                merged.insert(i);
                makers.insert(output, maker);
            } else if is_bytes {
                makers.insert(output, i);
            }
            if operator || is_bytes || node.input.iter().any(|name| rounded.contains(name.as_str())) {
                rounded.extend(node.output.iter().map(String::as_str));
            }
        }
        if operators.is_empty() {
            let outputs = outputs.join(", ");
            return Err(invalid(&format!(
                "no convolution with constant f32 weights leads to {outputs}; use --precision f32"
            )));
        }

        let (mut values, mut seen): (Vec<Value>, HashSet<&str>) = Default::default();
        for (i, node) in graph.node.iter().enumerate() {
            let Some(outcome) = operators.get(&i) else { continue };
            for name in operands(node).iter().chain([outcome]) {
                if !ready.contains_key(name) && seen.insert(name) {
                    values.push(Value { name: name.clone(), exact: !rounded.contains(name.as_str()) });
                }
            }
        }
        Ok(Self { model, size, operators, merged, values, ready })
    }

    /// A graph that tells the [`LEAST`] and [`MOST`] of the values.
    ///
    /// # Errors
    /// If nothing makes one of the values.
    pub fn probe(&self) -> Result<Vec<u8>> {
        let mut graph = GraphBuilder::from_backbone(&self.model.encode_to_vec(), self.size)?;
        for (role, op) in [(LEAST, "ReduceMin"), (MOST, "ReduceMax")] {
            let all: Vec<String> = self.values.iter().map(|value| graph.reduced(op, &value.name)).collect();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let all = graph.node("Concat", &all, vec![int("axis", 0)]);
            graph.output(role, &all, DataType::Float, &[self.values.len()]);
        }
        graph.finish()
    }

    /// Number of values that [`Quantiser::probe`] tells of.
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// Whether no rounding precedes one of the values, as none does the image: what it is of a flat image is what it can be at most.
    pub fn is_exact(&self, value: usize) -> bool {
        self.values[value].exact
    }

    /// The graph with bytes for the values, which lie in `ranges`.
    ///
    /// # Errors
    /// If a range is not finite.
    pub fn apply(self, ranges: &[Range]) -> Result<Vec<u8>> {
        let Self { mut model, operators, merged, values, ready, .. } = self;
        if let Some((value, _)) = values.iter().zip(ranges).find(|(_, range)| !range.is_finite()) {
            return Err(Error::Fit(format!(
                "the backbone's value '{}' is not finite for all good images, which bytes need; use --precision f32",
                value.name
            )));
        }
        let measured = ranges.iter().map(|range| range.rounding());
        let mut roundings: HashMap<String, Rounding> =
            ready.iter().map(|(name, ready)| (name.clone(), ready.rounding)).collect();
        roundings.extend(values.into_iter().map(|value| value.name).zip(measured));
        let graph = model.graph.get_or_insert_default();
        let readable = ready.into_iter().map(|(name, ready)| (name, ready.name)).collect();
        let mut rewriting = Rewriting::new(graph, readable);
        for (i, mut node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
            let Some(outcome) = operators.get(&i) else {
                if !merged.contains(&i) {
                    rewriting.keep(node);
                }
                continue;
            };
            let op = node.op_type.clone().unwrap_or_default();
            let first = roundings[&node.input[0]];
            for name in operands_mut(&mut node) {
                *name = rewriting.read(name, roundings[name.as_str()]);
            }
            if op == "Conv" {
                rewriting.convolution(&mut node, &graph.initializer, first.scale, outcome)?;
            }
            // A maximum of bytes is one of them.
            let rounding = if op == "MaxPool" { first } else { roundings[outcome] };
            roundings.insert(outcome.clone(), rounding);
            rewriting.make(node, outcome, rounding);
        }
        rewriting.finish(graph);
        Ok(model.encode_to_vec())
    }
}

/// The inputs of an operator that are values: of a convolution without weights and bias.
fn operands(node: &NodeProto) -> &[String] {
    match node.op_type.as_deref() {
        Some("Conv") => &node.input[..1],
        _ => &node.input,
    }
}

fn operands_mut(node: &mut NodeProto) -> &mut [String] {
    let count = operands(node).len();
    &mut node.input[..count]
}

/// Whether weights, and bias if there is one, of a convolution are known.
fn has_constant_weights(node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> bool {
    // The name of an input that is left out is empty.
    let mut given = node.input.iter().skip(1).filter(|name| !name.is_empty());
    node.input.len() > 1
        && given.all(|name| constants.get(name.as_str()).is_some_and(|tensor| weights::is_readable(tensor)))
}

/// Whether an operator has all of its settings where it computes with bytes; ONNX Runtime's mean over what lies inside, with a side that
/// is rounded up or with gaps, has not.
fn is_same_in_bytes(node: &NodeProto) -> bool {
    let set = |name: &str| node.attribute.iter().any(|a| a.name.as_deref() == Some(name) && a.i != Some(0));
    node.op_type.as_deref() != Some("AveragePool")
        || !(set("dilations") || set("ceil_mode") && set("count_include_pad"))
}

/// What the graph has rounded already: what is made of bytes, and what these were made of.
fn ready(graph: &GraphProto, constants: &HashMap<&str, &TensorProto>) -> HashMap<String, Ready> {
    let rounding = |node: &NodeProto| {
        let [_, scale, zero] = &node.input[..] else { return None };
        let (scale, zero) = (constants.get(scale.as_str())?, constants.get(zero.as_str())?);
        match (&weights::floats(scale)?[..], zero.data_type, zero.raw_data.as_deref()?) {
            (&[scale], Some(element), &[zero]) if element == DataType::Uint8 as i32 => {
                Some(Rounding { scale, zero })
            }
            _ => None,
        }
    };
    let of = |op: &'static str| graph.node.iter().filter(move |node| node.op_type.as_deref() == Some(op));
    let mut sources = HashMap::new();
    for node in of("QuantizeLinear") {
        if let (Some(bytes), Some(source)) = (node.output.first(), node.input.first()) {
            sources.insert(bytes, source);
        }
    }
    let mut ready = HashMap::new();
    for node in of("DequantizeLinear") {
        let (Some(name), Some(rounding)) = (node.output.first(), rounding(node)) else { continue };
        let found = Ready { name: name.clone(), rounding };
        if let Some(&source) = sources.get(&node.input[0]) {
            ready.insert(source.clone(), found.clone());
        }
        ready.insert(name.clone(), found);
    }
    ready
}

/// The nodes that one of the `outputs` needs.
fn leading_to(graph: &GraphProto, outputs: &[String]) -> HashSet<usize> {
    let mut wanted: HashSet<&str> = outputs.iter().map(String::as_str).collect();
    let mut needed = HashSet::new();
    // From the end every reader comes before what it reads.
    for (i, node) in graph.node.iter().enumerate().rev() {
        if node.output.iter().any(|output| wanted.contains(output.as_str())) {
            wanted.extend(node.input.iter().map(String::as_str));
            needed.insert(i);
        }
    }
    needed
}

/// Whether all that a node does is to cut off what lies below zero, or beyond a constant above it, too: nothing beyond is ever measured.
fn cuts_at_zero(node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> bool {
    match node.op_type.as_deref() {
        Some("Relu") => true,
        Some("Clip") => {
            let least = node.input.get(1).and_then(|name| constants.get(name.as_str()));
            least.and_then(|tensor| weights::floats(tensor)).is_some_and(|values| values[..] == [0.0])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
