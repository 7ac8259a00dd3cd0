//! Building the one graph of a bundle: a backbone cut at the layers in use, with a method's heads on top.

use super::onnx::*;
use crate::error::{Error, Result};
use prost::Message;
use std::collections::HashSet;

mod copies;

/// The lowest operator set in which every operator used here has its present meaning.
const MIN_OPSET: i64 = 13;
/// From this operator set on the axes of ReduceL2 are an input, before that an attribute.
const AXES_AS_INPUT: i64 = 18;

/// What the names of values begin with that are added here.
const OWN: &str = "gstanomaly/";

/// A graph under construction. Values are named by strings, as in ONNX.
#[derive(Debug)]
pub struct GraphBuilder {
    model: ModelProto,
    opset: i64,
    fresh: usize,
}

impl GraphBuilder {
    /// Starts from a backbone's ONNX model, its image input fixed to `[1, 3, height, width]`.
    ///
    /// # Errors
    /// If the bytes are not an ONNX model, its operator set is too old, its weights lie in other files, or it
    /// does not have exactly one input.
    pub fn from_backbone(model: &[u8], (width, height): (u32, u32)) -> Result<Self> {
        let model = ModelProto::decode(model).map_err(|e| invalid(&format!("not an ONNX model: {e}")))?;
        let opset = model
            .opset_import
            .iter()
            .find(|set| matches!(set.domain.as_deref(), None | Some("" | "ai.onnx")))
            .and_then(|set| set.version)
            .unwrap_or(0);
        if opset < MIN_OPSET {
            return Err(invalid(&format!("operator set {MIN_OPSET} or newer is needed, found {opset}")));
        }
        let mut builder = Self { model, opset, fresh: 0 };
        let graph = builder.graph();
        let given = named(graph);
        if graph.initializer.iter().any(|tensor| !tensor.external_data.is_empty()) {
            return Err(invalid("its weights lie in another file; save it as a single file"));
        }
        let weights: HashSet<_> = graph.initializer.iter().filter_map(|tensor| tensor.name.clone()).collect();
        // Old models list their weights among the inputs.
        graph.input.retain(|input| !input.name.as_ref().is_some_and(|name| weights.contains(name)));
        let [input] = &mut graph.input[..] else {
            return Err(invalid(&format!("expected one image input, found {}", graph.input.len())));
        };
        input.r#type = Some(tensor_type(DataType::Float, &[1, 3, height as usize, width as usize]));
        // Shapes that were inferred for other sizes would contradict the fixed input.
        graph.value_info.clear();
        graph.output.clear();
        builder.fresh = given;
        Ok(builder)
    }

    /// A graph whose only nodes pass its inputs on; for tests of heads on stored features.
    pub fn identity(inputs: &[(&str, &[usize])]) -> Self {
        let input = inputs.iter().map(|(name, shape)| value_info(name, DataType::Float, shape)).collect();
        let graph = GraphProto { name: Some("features".into()), input, ..Default::default() };
        let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(17) }];
        let model =
            ModelProto { ir_version: Some(8), graph: Some(graph), opset_import, ..Default::default() };
        Self { model, opset: 17, fresh: 0 }
    }

    fn graph(&mut self) -> &mut GraphProto {
        self.model.graph.get_or_insert_default()
    }

    fn fresh(&mut self, hint: &str) -> String {
        self.fresh += 1;
        format!("{OWN}{hint}_{}", self.fresh)
    }

    /// Adds a node with one output and returns that output's name.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.fresh(op);
        self.named_node(op, inputs, attributes, &output);
        output
    }

    fn named_node(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>, output: &str) {
        self.graph().node.push(NodeProto {
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            name: Some(output.into()),
            op_type: Some(op.into()),
            attribute,
            ..Default::default()
        });
    }

    /// Adds a constant of f32 values and returns its name.
    pub fn constant(&mut self, shape: &[usize], values: &[f32]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(DataType::Float, shape, raw)
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(DataType::Int64, &[values.len()], raw)
    }

    fn initializer(&mut self, element: DataType, shape: &[usize], raw: Vec<u8>) -> String {
        let name = self.fresh("constant");
        self.graph().initializer.push(TensorProto {
            dims: shape.iter().map(|&side| side as i64).collect(),
            data_type: Some(element as i32),
            name: Some(name.clone()),
            raw_data: Some(raw),
            ..Default::default()
        });
        name
    }

    /// `[1, C, H, W]` to `[1, H, W, C]`.
    pub fn channel_last(&mut self, value: &str) -> String {
        self.node("Transpose", &[value], vec![ints("perm", &[0, 2, 3, 1])])
    }

    /// `x / (|x| + epsilon)` over the last axis.
    pub fn l2_normalise_last(&mut self, value: &str, epsilon: f32) -> String {
        let norm = if self.opset >= AXES_AS_INPUT {
            let axes = self.integers(&[-1]);
            self.node("ReduceL2", &[value, &axes], vec![int("keepdims", 1)])
        } else {
            self.node("ReduceL2", &[value], vec![ints("axes", &[-1]), int("keepdims", 1)])
        };
        let epsilon = self.constant(&[1], &[epsilon]);
        let norm = self.node("Add", &[&norm, &epsilon], vec![]);
        self.node("Div", &[value, &norm], vec![])
    }

    /// A 1x1 convolution of `[1, C, H, W]` with `weights`, `[outputs, C]`, and one bias an output.
    pub fn conv1x1(&mut self, value: &str, weights: &[f32], biases: &[f32]) -> String {
        self.conv(value, 1, weights, biases)
    }

    /// A 3x3 convolution of `[1, C, H, W]` with `weights`, `[outputs, C, 3, 3]`, and one bias an output; zeros beyond the border.
    pub fn conv3x3(&mut self, value: &str, weights: &[f32], biases: &[f32]) -> String {
        self.conv(value, 3, weights, biases)
    }

    fn conv(&mut self, value: &str, side: usize, weights: &[f32], biases: &[f32]) -> String {
        let outputs = biases.len();
        let channels = weights.len() / (outputs * side * side);
        let weights = self.constant(&[outputs, channels, side, side], weights);
        let biases = self.constant(&[outputs], biases);
        let (side, pad) = (side as i64, (side / 2) as i64);
        let attributes = vec![ints("kernel_shape", &[side, side]), ints("pads", &[pad; 4])];
        self.node("Conv", &[value, &weights, &biases], attributes)
    }

    /// The mean of each 3x3 neighbourhood of `[1, C, H, W]`, of as much of it as lies inside.
    pub fn average3x3(&mut self, value: &str) -> String {
        let attributes =
            vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4]), int("count_include_pad", 0)];
        self.node("AveragePool", &[value], attributes)
    }

    /// Negative values become 0.
    pub fn relu(&mut self, value: &str) -> String {
        self.node("Relu", &[value], vec![])
    }

    /// The channels of several `[1, C, H, W]` one after the other.
    pub fn join_channels(&mut self, values: &[&str]) -> String {
        self.node("Concat", values, vec![int("axis", 1)])
    }

    /// A convolution of `[1, C, H, W]` in `groups` with `weights`, `[outputs, C / groups, side, side]`, without bias; the map
    /// keeps its size, zeros lie around it.
    pub fn conv_same(
        &mut self,
        value: &str,
        weights: &[f32],
        outputs: usize,
        groups: usize,
        side: usize,
    ) -> String {
        let weights = self.constant(&[outputs, weights.len() / (outputs * side * side), side, side], weights);
        let attributes = vec![
            ints("kernel_shape", &[side as i64; 2]),
            ints("pads", &[side as i64 / 2; 4]),
            int("group", groups as i64),
        ];
        self.node("Conv", &[value, &weights], attributes)
    }

    /// `[1, C, h, w]` made larger by whole factors, bilinear with half-pixel centres.
    pub fn enlarge(&mut self, value: &str, (rows, columns): (usize, usize)) -> String {
        let scales = self.constant(&[4], &[1.0, 1.0, rows as f32, columns as f32]);
        let attributes = vec![text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel")];
        self.node("Resize", &[value, "", &scales], attributes)
    }

    /// Values `[1, C_i, H, W]` one after the other: `[1, sum of C_i, H, W]`.
    pub fn concat_channels(&mut self, values: &[String]) -> String {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        self.node("Concat", &values, vec![int("axis", 1)])
    }

    /// The id of the nearest of `centres`, `[K, C]`, at each place of `[1, C, H, W]`: u8 `[1, H, W]`, the first on ties.
    ///
    /// The largest `x.c - |c|^2 / 2` belongs to the smallest `|x - c|^2`, so that this is one convolution.
    pub fn nearest_centre(&mut self, value: &str, centres: &[f32], count: usize) -> String {
        let channels = centres.len() / count;
        let biases: Vec<f32> = centres
            .chunks_exact(channels)
            .map(|centre| -0.5 * centre.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() as f32)
            .collect();
        let similarity = self.conv1x1(value, centres, &biases);
        let code = self.node("ArgMax", &[&similarity], vec![int("axis", 1), int("keepdims", 0)]);
        self.node("Cast", &[&code], vec![int("to", i64::from(DataType::Uint8 as i32))])
    }

    /// All elements of a value as one by `ReduceMin` or `ReduceMax`: `[1]`.
    pub fn reduced(&mut self, op: &str, value: &str) -> String {
        let one = self.node(op, &[value], vec![int("keepdims", 0)]);
        let shape = self.integers(&[1]);
        self.node("Reshape", &[&one, &shape], vec![])
    }

    /// Values clamped to 0..1.
    pub fn clamp_unit(&mut self, value: &str) -> String {
        let (zero, one) = (self.constant(&[], &[0.0]), self.constant(&[], &[1.0]));
        self.node("Clip", &[value, &zero, &one], vec![])
    }

    /// Values rounded to what f16 has, the largest of which is also what larger ones become.
    pub fn rounded_to_halves(&mut self, value: &str) -> String {
        let largest = half::f16::MAX.to_f32();
        let (low, high) = (self.constant(&[], &[-largest]), self.constant(&[], &[largest]));
        let clamped = self.node("Clip", &[value, &low, &high], vec![]);
        let cast = |element: DataType| vec![int("to", i64::from(element as i32))];
        let halves = self.node("Cast", &[&clamped], cast(DataType::Float16));
        self.node("Cast", &[&halves], cast(DataType::Float))
    }

    /// Declares `value` an output of the graph under a role name.
    pub fn output(&mut self, role: &str, value: &str, element: DataType, shape: &[usize]) {
        self.named_node("Identity", &[value], vec![], role);
        self.graph().output.push(value_info(role, element, shape));
    }

    /// Drops what no output needs and writes the model.
    ///
    /// # Errors
    /// If an output needs a value that nothing makes.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.prune()?;
        self.model.producer_name = Some("gst-plugin-anomaly".into());
        self.model.producer_version = Some(env!("CARGO_PKG_VERSION").into());
        Ok(self.model.encode_to_vec())
    }

    fn prune(&mut self) -> Result<()> {
        let graph = self.graph();
        let mut needed: HashSet<String> =
            graph.output.iter().filter_map(|output| output.name.clone()).collect();
        let mut made: HashSet<String> =
            graph.initializer.iter().filter_map(|tensor| tensor.name.clone()).collect();
        made.extend(graph.input.iter().filter_map(|input| input.name.clone()));
        // Nodes are in topological order: one pass from the end sees every consumer before its producer.
        let mut kept: Vec<NodeProto> = Vec::with_capacity(graph.node.len());
        for node in std::mem::take(&mut graph.node).into_iter().rev() {
            if node.output.iter().any(|output| needed.contains(output)) {
                needed.extend(node.input.iter().cloned());
                needed.extend(node.attribute.iter().flat_map(captured));
                made.extend(node.output.iter().cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        graph.node = kept;
        graph.initializer.retain(|tensor| tensor.name.as_ref().is_some_and(|name| needed.contains(name)));
        match graph.output.iter().filter_map(|output| output.name.as_ref()).find(|name| !made.contains(*name))
        {
            Some(name) => Err(invalid(&format!("nothing makes the output '{name}'"))),
            None => Ok(()),
        }
    }
}

/// The highest number in a name that was added when the graph was built before.
fn named(graph: &GraphProto) -> usize {
    let values = graph.node.iter().flat_map(|node| &node.output);
    let constants = graph.initializer.iter().filter_map(|tensor| tensor.name.as_ref());
    let own = values
        .chain(constants)
        .filter_map(|name| name.strip_prefix(OWN)?.split('/').next()?.rsplit_once('_'));
    own.filter_map(|(_, number)| number.parse::<u32>().ok()).max().unwrap_or(0) as usize
}

/// Names that the sub-graphs of an attribute may take from the graph around them.
fn captured(attribute: &AttributeProto) -> Vec<String> {
    let graphs = attribute.g.iter().map(|graph| graph.as_ref()).chain(&attribute.graphs);
    let nodes = graphs.flat_map(|graph| &graph.node);
    nodes
        .flat_map(|node| node.input.iter().cloned().chain(node.attribute.iter().flat_map(captured)))
        .collect()
}

pub(super) fn invalid(problem: &str) -> Error {
    Error::Setting(format!("the backbone cannot be used: {problem}"))
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    let r#type = Some(AttributeType::Int as i32);
    AttributeProto { name: Some(name.into()), i: Some(value), r#type, ..Default::default() }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = Some(AttributeType::Ints as i32);
    AttributeProto { name: Some(name.into()), ints: values.into(), r#type, ..Default::default() }
}

fn text(name: &str, value: &str) -> AttributeProto {
    let r#type = Some(AttributeType::String as i32);
    AttributeProto { name: Some(name.into()), s: Some(value.into()), r#type, ..Default::default() }
}

#[cfg(test)]
mod tests;
