use super::*;
use crate::network::graph::ints;
use crate::network::{Device, Network, OutputSpec};

const SIZE: (u32, u32) = (32, 32);

/// A small network with all that is merged and all that is not: `image -> conv, Clip -> (depthwise conv, Relu) + skip -> sum`, its mean
/// beside it -> `both`, the largest of 2x2 -> conv -> `coarse`, and a softplus, which bytes cannot compute, -> `smooth` and
/// `softest`.
fn network() -> Vec<u8> {
    let mut graph = GraphBuilder::identity(&[("image", &[1, 3, 32, 32])]);
    let values = |count: usize, seed: usize| -> Vec<f32> {
        (0..count).map(|i| ((i * 31 + seed * 17) % 29) as f32 / 29.0 - 0.45).collect()
    };
    let stem = graph.conv3x3("image", &values(8 * 27, 1), &values(8, 2));
    let (zero, six) = (graph.constant(&[], &[0.0]), graph.constant(&[], &[6.0]));
    let stem = graph.node("Clip", &[&stem, &zero, &six], vec![]);
    let deep = graph.conv_same(&stem, &values(8 * 9, 3), 8, 8, 3);
    let deep = graph.relu(&deep);
    let sum = graph.node("Add", &[&deep, &stem], vec![]);
    let mean = graph.average3x3(&sum);
    let both = graph.join_channels(&[&sum, &mean]);
    let strides = ["kernel_shape", "strides"].map(|name| ints(name, &[2, 2]));
    let pooled = graph.node("MaxPool", &[&both], strides.to_vec());
    let coarse = graph.conv1x1(&pooled, &values(4 * 16, 4), &values(4, 5));
    let soft = graph.node("Softplus", &[&both], vec![]);
    let smooth = graph.conv1x1(&soft, &values(2 * 16, 6), &values(2, 7));
    let softest = graph.conv1x1(&soft, &values(3 * 16, 8), &values(3, 9));
    graph.output("both", &both, DataType::Float, &[1, 16, 32, 32]);
    graph.output("coarse", &coarse, DataType::Float, &[1, 4, 16, 16]);
    graph.output("smooth", &smooth, DataType::Float, &[1, 2, 32, 32]);
    graph.output("softest", &softest, DataType::Float, &[1, 3, 32, 32]);
    graph.finish().unwrap()
}

fn outputs() -> Vec<OutputSpec> {
    vec![
        OutputSpec::floats("both", [1, 16, 32, 32]),
        OutputSpec::floats("coarse", [1, 4, 16, 16]),
        OutputSpec::floats("smooth", [1, 2, 32, 32]),
        OutputSpec::floats("softest", [1, 3, 32, 32]),
    ]
}

fn run(model: &[u8], outputs: Vec<OutputSpec>, image: &[f32]) -> Vec<Vec<f32>> {
    let mut network = Network::load(model, SIZE, outputs, Device::Cpu, 1).unwrap();
    let mut input = network.new_input().unwrap();
    input.extract_tensor_mut().1.copy_from_slice(image);
    network.run(&input).unwrap().iter().map(|map| map.floats().to_vec()).collect()
}

fn image() -> Vec<f32> {
    (0..3 * 32 * 32).map(|i| ((i * 37) % 255) as f32 / 127.5 - 1.0).collect()
}

fn roles() -> Vec<String> {
    outputs().into_iter().map(|output| output.name).collect()
}

fn measured(quantiser: &Quantiser, image: &[f32]) -> Vec<Range> {
    let told = [LEAST, MOST].map(|role| OutputSpec::floats(role, [quantiser.values()])).to_vec();
    let found = run(&quantiser.probe().unwrap(), told, image);
    found[0].iter().zip(&found[1]).map(|(&least, &most)| Range::new(least, most)).collect()
}

#[test]
fn bytes_say_nearly_what_numbers_say() {
    let model = network();
    let quantiser = Quantiser::new(&model, SIZE, &roles()).unwrap();
    let ranges = measured(&quantiser, &image());
    let bytes = quantiser.apply(&ranges).unwrap();
    let (exact, rounded) = (run(&model, outputs(), &image()), run(&bytes, outputs(), &image()));
    for (output, (exact, rounded)) in roles().iter().zip(exact.iter().zip(&rounded)) {
        let most = exact.iter().fold(0f32, |most, value| most.max(value.abs()));
        let worst = exact.iter().zip(rounded).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(worst > 0.0, "{output}: nothing is rounded");
        assert!(worst < 0.03 * most, "{output}: {worst} of {most}");
    }
}

#[test]
fn what_only_cuts_off_is_merged_and_what_cannot_stays() {
    let model = network();
    let quantiser = Quantiser::new(&model, SIZE, &roles()).unwrap();
    let ranges = measured(&quantiser, &image());
    let bytes = ModelProto::decode(&quantiser.apply(&ranges).unwrap()[..]).unwrap();
    let graph = bytes.graph.unwrap();
    let count = |op: &str| graph.node.iter().filter(|node| node.op_type.as_deref() == Some(op)).count();
    assert_eq!([count("Clip"), count("Relu"), count("Softplus"), count("Conv")], [0, 0, 1, 5]);
    // The image, five convolutions, a sum, a mean, both, their largest and what the softplus makes.
    assert_eq!(count("QuantizeLinear"), 11);
    let sizes = graph
        .initializer
        .iter()
        .filter(|t| t.data_type == Some(DataType::Float as i32))
        .map(|t| t.dims.iter().product::<i64>());
    assert!(sizes.max() <= Some(8), "f32 weights are left");
}

#[test]
fn only_what_leads_to_an_output_is_rounded() {
    let model = network();
    let quantiser = Quantiser::new(&model, SIZE, &["both".into()]).unwrap();
    let ranges = measured(&quantiser, &image());
    let (exact, rounded) =
        (run(&model, outputs(), &image()), run(&quantiser.apply(&ranges).unwrap(), outputs(), &image()));
    // Computed in f32 from what is rounded: not from bytes again.
    let steps = rounded[1].iter().map(|v| v.to_bits()).collect::<HashSet<_>>().len();
    assert!(steps > 256, "{steps} different values");
    assert_ne!(exact[1], rounded[1]);
}

fn rounded(model: &[u8], outputs: &[String]) -> Vec<u8> {
    let quantiser = Quantiser::new(model, SIZE, outputs).unwrap();
    let ranges = measured(&quantiser, &image());
    quantiser.apply(&ranges).unwrap()
}

/// How many nodes of each kind there are.
fn operators(model: &[u8]) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for node in ModelProto::decode(model).unwrap().graph.unwrap().node {
        *counts.entry(node.op_type.unwrap()).or_default() += 1;
    }
    counts
}

fn close(one: &[u8], other: &[u8]) {
    let (one, other) = (run(one, outputs(), &image()), run(other, outputs(), &image()));
    for (a, b) in one.iter().flatten().zip(other.iter().flatten()) {
        assert!((a - b).abs() < 0.2, "{a} and {b}");
    }
}

#[test]
fn a_graph_can_be_rounded_in_two_parts() {
    let model = network();
    let whole = rounded(&model, &roles());
    // Behind a value of bytes, and behind one that a convolution of the first part reads rounded and others as it is.
    for first in ["both", "smooth", "coarse"] {
        let parts = rounded(&rounded(&model, &[first.into()]), &roles());
        assert_eq!(operators(&parts), operators(&whole), "{first} first");
        close(&parts, &whole);
    }
    let problem = Quantiser::new(&whole, SIZE, &roles()).unwrap_err().to_string();
    assert!(problem.contains("no convolution"), "{problem}");
}

#[test]
fn constants_may_be_written_in_any_way_and_called_anything() {
    let model = network();
    let mut other = ModelProto::decode(&model[..]).unwrap();
    let graph = other.graph.as_mut().unwrap();
    let conv =
        graph.node.iter().find(|node| node.op_type.as_deref() == Some("Conv")).unwrap().output[0].clone();
    let mut nodes = Vec::new();
    let node = |op: &str, input: Vec<String>, output: String, attribute| NodeProto {
        input,
        output: vec![output],
        op_type: Some(op.into()),
        attribute,
        ..Default::default()
    };
    for (i, mut tensor) in std::mem::take(&mut graph.initializer).into_iter().enumerate() {
        let name = tensor.name.clone().unwrap();
        let attribute = AttributeProto {
            name: Some("value".into()),
            r#type: Some(AttributeType::Tensor as i32),
            t: Some(tensor.clone()),
            ..Default::default()
        };
        match i % 3 {
            0 => nodes.push(node("Constant", vec![], name, vec![attribute])),
            1 => {
                // What the weights of bytes would be called.
                let original = if i == 1 { format!("{conv}/weight") } else { format!("{name}/bytes") };
                tensor.name = Some(original.clone());
                nodes.push(node("Identity", vec![original], name, vec![]));
                graph.initializer.push(tensor);
            }
            _ => graph.initializer.push(tensor),
        }
    }
    nodes.append(&mut graph.node);
    graph.node = nodes;
    // Listed as what they are.
    let dims = |tensor: &TensorProto| tensor.dims.iter().map(|&side| side as usize).collect::<Vec<_>>();
    let listed =
        graph.initializer.iter().map(|t| value_info(t.name.as_ref().unwrap(), DataType::Float, &dims(t)));
    graph.input.truncate(1);
    graph.input.extend(listed.collect::<Vec<_>>());

    let (plain, other) = (rounded(&model, &roles()), rounded(&other.encode_to_vec(), &roles()));
    assert_eq!(operators(&plain), operators(&other));
    assert_eq!(run(&plain, outputs(), &image()), run(&other, outputs(), &image()));
    assert_eq!(ModelProto::decode(&other[..]).unwrap().graph.unwrap().input.len(), 1);
}

#[test]
fn a_layer_before_what_cuts_off_stays_a_layer() {
    let model = network();
    let graph = ModelProto::decode(&model[..]).unwrap().graph.unwrap();
    let relu = graph.node.iter().find(|node| node.op_type.as_deref() == Some("Relu")).unwrap();
    let layer = relu.input[0].clone();
    let bytes = rounded(&model, &[vec![layer.clone()], roles()].concat());
    let least = |model: &[u8]| {
        let mut graph = GraphBuilder::from_backbone(model, SIZE).unwrap();
        graph.output("layer", &layer, DataType::Float, &[1, 8, 32, 32]);
        let maps = run(&graph.finish().unwrap(), vec![OutputSpec::floats("layer", [1, 8, 32, 32])], &image());
        maps[0].iter().copied().fold(0f32, f32::min)
    };
    let (exact, found) = (least(&model), least(&bytes));
    assert!(exact < -0.1 && (found / exact - 1.0).abs() < 0.1, "{found} instead of {exact}");
}

#[test]
fn a_mean_that_bytes_have_no_settings_for_stays() {
    let mut graph = GraphBuilder::identity(&[("image", &[1, 3, 32, 32])]);
    let value = graph.conv1x1("image", &[0.5, 0.2, -0.1, 0.3, 0.9, 0.1], &[0.1, -0.1]);
    let mut settings = vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2])];
    settings.extend(["ceil_mode", "count_include_pad"].map(|name| int(name, 1)));
    let value = graph.node("AveragePool", &[&value], settings);
    graph.output("mean", &value, DataType::Float, &[1, 2, 16, 16]);
    let model = graph.finish().unwrap();
    let bytes = rounded(&model, &["mean".into()]);
    let mean = || vec![OutputSpec::floats("mean", [1, 2, 16, 16])];
    let (exact, found) = (run(&model, mean(), &image()), run(&bytes, mean(), &image()));
    let worst = exact[0].iter().zip(&found[0]).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(worst > 0.0 && worst < 0.02, "{worst}");
}

#[test]
fn what_lies_beyond_the_range_is_cut_off() {
    let model = network();
    let quantiser = Quantiser::new(&model, SIZE, &roles()).unwrap();
    let ranges = measured(&quantiser, &image());
    let brighter: Vec<f32> = image().iter().map(|value| value * 20.0).collect();
    let model = quantiser.apply(&ranges).unwrap();
    let (normal, beyond) = (run(&model, outputs(), &image()), run(&model, outputs(), &brighter));
    let most = |maps: &[Vec<f32>]| maps[0].iter().copied().fold(0f32, f32::max);
    assert!(most(&beyond) <= 1.01 * most(&normal), "{} {}", most(&beyond), most(&normal));
}

#[test]
fn what_is_not_finite_is_refused() {
    let quantiser = Quantiser::new(&network(), SIZE, &roles()).unwrap();
    let mut ranges = vec![Range::new(-1.0, 1.0); quantiser.values()];
    ranges[2] = Range::new(f32::NAN, 1.0);
    let problem = quantiser.apply(&ranges).unwrap_err().to_string();
    assert!(problem.contains("not finite"), "{problem}");
}

#[test]
fn a_graph_without_convolutions_is_refused() {
    let mut graph = GraphBuilder::identity(&[("image", &[1, 3, 32, 32])]);
    let value = graph.relu("image");
    graph.output("both", &value, DataType::Float, &[1, 3, 32, 32]);
    let problem = Quantiser::new(&graph.finish().unwrap(), SIZE, &["both".into()]).unwrap_err().to_string();
    assert!(problem.contains("no convolution with constant f32 weights leads to both"), "{problem}");
}
