//! A graph whose convolutions compute with bytes, which takes a processor a half to a third of the time.
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

mod range;
mod weights;

pub use range::Range;
use range::Rounding;

/// Outputs of [`Quantiser::probe`], `[values]`: the smallest and the largest element of each value.
pub const LEAST: &str = "least";
/// See [`LEAST`].
pub const MOST: &str = "most";

/// Operators that can compute with bytes, too, which is worth it where a value is one of bytes already.
const BETWEEN: [&str; 4] = ["Add", "Concat", "AveragePool", "MaxPool"];

/// What of a graph is going to compute with bytes.
#[derive(Debug)]
pub struct Quantiser {
    model: ModelProto,
    /// What each of those operators makes, by the index of its node.
    operators: HashMap<usize, String>,
    /// Nodes that only cut off what an operator makes at zero, as bytes do by themselves.
    merged: HashSet<usize>,
    /// The values that are to become such of bytes.
    values: Vec<Value>,
    /// Those that are already, as in a graph that was looked at before.
    ready: HashMap<String, Rounding>,
}

/// A value that becomes one of bytes.
#[derive(Debug)]
struct Value {
    name: String,
    /// Nothing that it is made of is rounded, as it is with the image itself.
    exact: bool,
}

impl Quantiser {
    /// Looks for what of `model` leads to one of its `outputs` and can compute with bytes.
    ///
    /// # Errors
    /// If it is not an ONNX model, has branches or loops, or nothing can.
    pub fn new(model: &[u8], outputs: &[String]) -> Result<Self> {
        let model = ModelProto::decode(model).map_err(|e| invalid(&format!("not an ONNX model: {e}")))?;
        let graph = model.graph.as_ref().ok_or_else(|| invalid("there is no graph in the model"))?;
        if graph.node.iter().flat_map(|node| &node.attribute).any(|a| a.g.is_some() || !a.graphs.is_empty()) {
            return Err(invalid(
                "it has branches or loops, which bytes do not work with; use --precision f32",
            ));
        }
        let constants: HashMap<&str, &TensorProto> =
            graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_deref()?, tensor))).collect();
        let results: HashSet<&str> =
            graph.output.iter().filter_map(|output| output.name.as_deref()).collect();
        let needed = leading_to(graph, outputs);
        let mut readers: HashMap<&str, usize> = HashMap::new();
        graph
            .node
            .iter()
            .flat_map(|node| &node.input)
            .for_each(|name| *readers.entry(name).or_default() += 1);

        // What is made of rounded values, and by which operator if by one.
        let mut rounded: HashSet<&str> = HashSet::new();
        let mut makers: HashMap<&str, usize> = HashMap::new();
        let (mut operators, mut merged) = (HashMap::new(), HashSet::new());
        for (i, node) in graph.node.iter().enumerate() {
            let Some(output) = node.output.first() else { continue };
            let input = node.input.first().map_or("", String::as_str);
            let operator = needed.contains(&i)
                && match node.op_type.as_deref() {
                    Some("Conv") => node
                        .input
                        .get(1)
                        .and_then(|name| constants.get(name.as_str()))
                        .is_some_and(|w| weights::is_readable(w)),
                    Some(op) => {
                        BETWEEN.contains(&op)
                            && node.output.len() == 1
                            && node.input.iter().all(|name| !constants.contains_key(name.as_str()))
                            && node.input.iter().any(|name| makers.contains_key(name.as_str()))
                    }
                    None => false,
                };
            if operator {
                operators.insert(i, output.clone());
                makers.insert(output, i);
            } else if cuts_at_zero(node, &constants)
                && readers.get(input) == Some(&1)
                && !results.contains(input)
                && let Some(maker) = makers.get(input).copied()
                // What a maximum is rounded by is what its input was.
                && graph.node[maker].op_type.as_deref() != Some("MaxPool")
            {
                operators.insert(maker, output.clone());
                merged.insert(i);
                makers.insert(output, maker);
            }
            if operator || node.input.iter().any(|name| rounded.contains(name.as_str())) {
                rounded.extend(node.output.iter().map(String::as_str));
            }
        }
        if operators.is_empty() {
            return Err(invalid("nothing in it can compute with bytes; use --precision f32"));
        }

        let ready = ready(graph, &constants);
        let (mut values, mut seen): (Vec<Value>, HashSet<&str>) = Default::default();
        for (i, node) in graph.node.iter().enumerate() {
            let Some(outcome) = operators.get(&i) else { continue };
            for name in operands(node).iter().chain([outcome]) {
                if !ready.contains_key(name) && seen.insert(name) {
                    values.push(Value { name: name.clone(), exact: !rounded.contains(name.as_str()) });
                }
            }
        }
        Ok(Self { model, operators, merged, values, ready })
    }

    /// A graph for images of `size` that tells the [`LEAST`] and [`MOST`] of the values.
    ///
    /// # Errors
    /// As [`GraphBuilder::from_backbone`].
    pub fn probe(&self, size: (u32, u32)) -> Result<Vec<u8>> {
        let mut graph = GraphBuilder::from_backbone(&self.model.encode_to_vec(), size)?;
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

    /// Which of the values no rounding precedes, as none does the image: their ranges are known, and not only seen.
    pub fn is_exact(&self, value: usize) -> bool {
        self.values[value].exact
    }

    /// The graph with bytes for the values, which lie in `ranges`.
    ///
    /// # Errors
    /// If a range is not finite.
    pub fn apply(self, ranges: &[Range]) -> Result<Vec<u8>> {
        let Self { mut model, operators, merged, values, ready } = self;
        if let Some((value, _)) = values.iter().zip(ranges).find(|(_, range)| !range.is_finite()) {
            return Err(Error::Fit(format!(
                "'{}' of the network is not finite for the good images",
                value.name
            )));
        }
        let measured = ranges.iter().map(|range| range.rounding());
        let mut roundings = ready;
        let known = roundings.keys().map(|name| (name.clone(), name.clone())).collect();
        roundings.extend(values.into_iter().map(|value| value.name).zip(measured));
        let graph = model.graph.get_or_insert_default();
        let mut rewriting = Rewriting { nodes: Vec::new(), constants: Vec::new(), readable: known };
        for (i, mut node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
            let Some(outcome) = operators.get(&i) else {
                if !merged.contains(&i) {
                    rewriting.nodes.push(node);
                }
                continue;
            };
            let op = node.op_type.clone().unwrap_or_default();
            let first = roundings[&node.input[0]];
            for name in operands_mut(&mut node) {
                *name = rewriting.read(name, roundings[name.as_str()]);
            }
            if op == "Conv" {
                let find = |name: &String| {
                    graph.initializer.iter().find(|tensor| tensor.name.as_ref() == Some(name))
                };
                let weights = find(&node.input[1]).ok_or_else(|| invalid("a convolution without weights"))?;
                let bias = node.input.get(2).and_then(find);
                rewriting.convolution(&mut node, weights, bias, first.scale, outcome)?;
            }
            // A maximum of bytes is one of them.
            let rounding = if op == "MaxPool" { first } else { roundings[outcome] };
            roundings.insert(outcome.clone(), rounding);
            let made = format!("{outcome}/made");
            node.output[0] = made.clone();
            rewriting.nodes.push(node);
            rewriting.round(&made, outcome, rounding);
            rewriting.readable.insert(outcome.clone(), outcome.clone());
        }
        graph.node = rewriting.nodes;
        graph.initializer.extend(rewriting.constants);
        let read: HashSet<&String> = graph.node.iter().flat_map(|node| &node.input).collect();
        graph.initializer.retain(|tensor| tensor.name.as_ref().is_some_and(|name| read.contains(name)));
        Ok(model.encode_to_vec())
    }
}

/// The graph as it is being written anew.
struct Rewriting {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// Under which name the rounded elements of a value are to be read.
    readable: HashMap<String, String>,
}

impl Rewriting {
    /// The name of what `value` is when it is rounded.
    fn read(&mut self, value: &str, rounding: Rounding) -> String {
        if let Some(name) = self.readable.get(value) {
            return name.clone();
        }
        let name = format!("{value}/rounded");
        self.round(value, &name, rounding);
        self.readable.insert(value.into(), name.clone());
        name
    }

    /// Rounds `value` to bytes, from which `rounded` is made again.
    fn round(&mut self, value: &str, rounded: &str, rounding: Rounding) {
        let (scale, zero, bytes) =
            (format!("{rounded}/scale"), format!("{rounded}/zero"), format!("{rounded}/bytes"));
        self.constant(&scale, DataType::Float, &[], &rounding.scale.to_le_bytes());
        self.constant(&zero, DataType::Uint8, &[], &[rounding.zero]);
        self.node("QuantizeLinear", &[value, &scale, &zero], &bytes, vec![]);
        self.node("DequantizeLinear", &[&bytes, &scale, &zero], rounded, vec![]);
    }

    /// Has the convolution `node`, which makes `outcome`, read weights of bytes; `scale` is that of what it is a convolution of.
    fn convolution(
        &mut self,
        node: &mut NodeProto,
        weights: &TensorProto,
        bias: Option<&TensorProto>,
        scale: f32,
        outcome: &str,
    ) -> Result<()> {
        let rounded = weights::round(weights, bias, scale)
            .ok_or_else(|| invalid(&format!("the weights of '{outcome}' cannot be read")))?;
        let outputs = &[rounded.scales.len()];
        let sides: Vec<usize> = weights.dims.iter().map(|&side| side as usize).collect();
        let (name, scales) = (format!("{outcome}/weight"), format!("{outcome}/weight/scales"));
        let bytes = format!("{name}/bytes");
        self.constant(&bytes, DataType::Int8, &sides, bytemuck::cast_slice(&rounded.weights));
        self.constant(&scales, DataType::Float, outputs, bytemuck::cast_slice(&rounded.scales));
        self.node("DequantizeLinear", &[&bytes, &scales], &name, vec![int("axis", 0)]);
        node.input[1] = name;
        if let Some(values) = rounded.bias {
            let (name, scales) = (format!("{outcome}/bias"), format!("{outcome}/bias/scales"));
            let integers = format!("{name}/integers");
            // The unit of the products that it is added to.
            let units: Vec<f32> = rounded.scales.iter().map(|s| s * scale).collect();
            self.constant(&integers, DataType::Int32, outputs, bytemuck::cast_slice(&values));
            self.constant(&scales, DataType::Float, outputs, bytemuck::cast_slice(&units));
            self.node("DequantizeLinear", &[&integers, &scales], &name, vec![int("axis", 0)]);
            node.input[2] = name;
        }
        Ok(())
    }

    fn constant(&mut self, name: &str, element: DataType, shape: &[usize], raw: &[u8]) {
        self.constants.push(TensorProto {
            dims: shape.iter().map(|&side| side as i64).collect(),
            data_type: Some(element as i32),
            name: Some(name.into()),
            raw_data: Some(raw.to_vec()),
            ..Default::default()
        });
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            // An operator may be called like what it makes.
            name: Some(format!("{output}/{op}")),
            op_type: Some(op.into()),
            attribute,
            ..Default::default()
        });
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

/// What the graph makes of bytes already.
fn ready(graph: &GraphProto, constants: &HashMap<&str, &TensorProto>) -> HashMap<String, Rounding> {
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
    let nodes = graph.node.iter().filter(|node| node.op_type.as_deref() == Some("DequantizeLinear"));
    nodes.filter_map(|node| Some((node.output.first()?.clone(), rounding(node)?))).collect()
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
