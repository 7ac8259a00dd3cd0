use super::*;
use crate::network::runtime;
use ort::session::Session;
use ort::value::Tensor;

const SIZE: (u32, u32) = (64, 32);

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|&side| side as i64).collect(),
        data_type: Some(DataType::Float as i32),
        name: Some(name.into()),
        float_data: values.to_vec(),
        ..Default::default()
    }
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        op_type: Some(op.into()),
        attribute,
        ..Default::default()
    }
}

/// A network with two layers, "fine" of 4 channels and "coarse" of 6, and a classifier on top.
fn backbone(opset: i64) -> ModelProto {
    let values = |count: usize| (0..count).map(|i| (i * 7 % 13) as f32 / 13.0 - 0.4).collect::<Vec<_>>();
    let strides = |side: i64| vec![ints("kernel_shape", &[side, side]), ints("strides", &[side, side])];
    let graph = GraphProto {
        name: Some("backbone".into()),
        // Another size than the one in use, as exported networks have.
        input: vec![value_info("image", DataType::Float, &[1, 3, 224, 224])],
        initializer: vec![
            tensor("w1", &[4, 3, 4, 4], &values(4 * 3 * 16)),
            tensor("w2", &[6, 4, 2, 2], &values(6 * 4 * 4)),
            tensor("w3", &[5, 6, 1, 1], &values(30)),
        ],
        node: vec![
            node("Conv", &["image", "w1"], "fine", strides(4)),
            node("Conv", &["fine", "w2"], "coarse", strides(2)),
            node("Conv", &["coarse", "w3"], "classes", strides(1)),
        ],
        output: vec![value_info("classes", DataType::Float, &[1, 5, 28, 28])],
        value_info: vec![value_info("fine", DataType::Float, &[1, 4, 56, 56])],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(opset) }];
    ModelProto { ir_version: Some(7), opset_import, graph: Some(graph), ..Default::default() }
}

fn open(model: &ModelProto) -> Result<GraphBuilder> {
    GraphBuilder::from_backbone(&model.encode_to_vec(), SIZE)
}

#[track_caller]
fn complaint<T>(result: Result<T>) -> String {
    result.err().expect("an error").to_string()
}

/// The outputs of a graph for an image of noise.
fn run(model: &[u8], shape: [usize; 4], outputs: &[&str]) -> Vec<Vec<f32>> {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let image = Tensor::from_array((shape, (0..shape.iter().product()).map(|_| noise()).collect::<Vec<_>>()))
        .unwrap();
    let builder = Session::builder(runtime::load().unwrap()).unwrap();
    let mut session = { builder }.commit_from_memory(model).unwrap();
    let found = session.run(ort::inputs![image]).unwrap();
    outputs.iter().map(|&name| found[name].try_extract_tensor::<f32>().unwrap().1.to_vec()).collect()
}

#[test]
fn heads_compute_the_same_on_every_operator_set() {
    let heads = |opset: i64| {
        let mut graph = open(&backbone(opset)).unwrap();
        let last = graph.channel_last("fine");
        let unit = graph.l2_normalise_last(&last, 1e-8);
        let raw = graph.conv1x1("fine", &[0.5, -1.0, 0.25, 2.0], &[0.3]);
        let weight = graph.clamp_unit(&raw);
        graph.output("last", &last, DataType::Float, &[1, 8, 16, 4]);
        graph.output("unit", &unit, DataType::Float, &[1, 8, 16, 4]);
        graph.output("weight", &weight, DataType::Float, &[1, 1, 8, 16]);
        run(&graph.finish().unwrap(), [1, 3, 32, 64], &["last", "unit", "weight"])
    };
    let old = heads(13);
    let (last, unit, weight) = (&old[0], &old[1], &old[2]);
    for (place, (x, unit)) in last.chunks_exact(4).zip(unit.chunks_exact(4)).enumerate() {
        let norm = x.iter().map(|v| v * v).sum::<f32>().sqrt() + 1e-8;
        assert!(x.iter().zip(unit).all(|(x, u)| (x / norm - u).abs() < 1e-6));
        let expected = (0.5 * x[0] - x[1] + 0.25 * x[2] + 2.0 * x[3] + 0.3).clamp(0.0, 1.0);
        assert!((weight[place] - expected).abs() < 1e-5);
    }
    // From 18 on ReduceL2 takes its axes as an input.
    for opset in [17, 18, 21] {
        assert_eq!(heads(opset), old, "operator set {opset}");
    }
}

#[test]
fn the_nearest_centre_is_the_first_of_equals() {
    let features: Vec<f32> = [[0.0, 0.0], [1.0, 0.1], [0.4, 0.6], [-3.0, 9.0]].concat();
    let centres = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]].concat();
    // Channel first: the values of a channel lie together.
    let image: Vec<f32> = (0..2).flat_map(|c| features.iter().skip(c).step_by(2).copied()).collect();
    let mut graph = GraphBuilder::identity(&[("features", &[1, 2, 2, 2])]);
    let codes = graph.nearest_centre("features", &centres, 4);
    graph.output("codes", &codes, DataType::Uint8, &[1, 2, 2]);
    let builder = Session::builder(runtime::load().unwrap()).unwrap();
    let mut session = { builder }.commit_from_memory(&graph.finish().unwrap()).unwrap();
    let input = Tensor::from_array(([1usize, 2, 2, 2], image)).unwrap();
    let found = session.run(ort::inputs![input]).unwrap();
    assert_eq!(found["codes"].try_extract_tensor::<u8>().unwrap().1, [3, 0, 1, 1]);
}

#[test]
fn halves_are_rounded_and_stay_finite() {
    let values = vec![0.1f32, -1.0 / 3.0, 2049.0, 1e9, -1e9, f32::INFINITY, 1e-9, 0.0];
    let mut graph = GraphBuilder::identity(&[("values", &[8])]);
    let halves = graph.rounded_to_halves("values");
    graph.output("halves", &halves, DataType::Float, &[8]);
    let builder = Session::builder(runtime::load().unwrap()).unwrap();
    let mut session = { builder }.commit_from_memory(&graph.finish().unwrap()).unwrap();
    let found = session.run(ort::inputs![Tensor::from_array(([8usize], values.clone())).unwrap()]).unwrap();
    let expected: Vec<f32> =
        values.iter().map(|&value| half::f16::from_f32(value.clamp(-65504.0, 65504.0)).to_f32()).collect();
    assert_eq!(found["halves"].try_extract_tensor::<f32>().unwrap().1, expected);
    assert_ne!(expected[0], values[0]);
}

#[test]
fn what_no_output_needs_is_dropped() {
    let mut graph = open(&backbone(17)).unwrap();
    graph.output("features", "fine", DataType::Float, &[1, 4, 8, 16]);
    let model = ModelProto::decode(graph.finish().unwrap().as_slice()).unwrap();
    let graph = model.graph.unwrap();
    let names = |names: Vec<Option<String>>| names.into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(
        names(graph.node.iter().map(|node| node.output.first().cloned()).collect()),
        ["fine", "features"]
    );
    assert_eq!(names(graph.initializer.iter().map(|tensor| tensor.name.clone()).collect()), ["w1"]);
    assert_eq!(names(graph.output.iter().map(|output| output.name.clone()).collect()), ["features"]);
    assert_eq!(graph.input, [value_info("image", DataType::Float, &[1, 3, 32, 64])]);
    assert!(graph.value_info.is_empty(), "shapes of the exported size would contradict the input");
}

#[test]
fn what_an_inner_graph_takes_from_outside_is_kept() {
    let branch = |name: &str| {
        let output = vec![value_info(name, DataType::Float, &[1, 4, 8, 16])];
        let graph =
            GraphProto { node: vec![node("Relu", &["fine"], name, vec![])], output, ..Default::default() };
        Some(Box::new(graph))
    };
    let attribute = |name: &str, g| AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Graph as i32),
        g,
        ..Default::default()
    };
    let mut graph = open(&backbone(17)).unwrap();
    let branches = vec![attribute("then_branch", branch("then")), attribute("else_branch", branch("else"))];
    let chosen = graph.node("If", &["condition"], branches);
    graph.graph().initializer.push(tensor("condition", &[], &[1.0]));
    graph.output("features", &chosen, DataType::Float, &[1, 4, 8, 16]);
    let model = ModelProto::decode(graph.finish().unwrap().as_slice()).unwrap();
    let kept: Vec<_> = model.graph.unwrap().node.into_iter().filter_map(|node| node.op_type).collect();
    assert_eq!(kept, ["Conv", "If", "Identity"]);
}

#[test]
fn unusable_backbones_are_refused_with_the_reason() {
    let bytes = |bytes: &[u8]| complaint(GraphBuilder::from_backbone(bytes, SIZE));
    assert!(bytes(b"<html>404 Not Found</html>").contains("not an ONNX model"));
    for broken in [b"".as_slice(), &[0xff; 64], b"\x89PNG\r\n\x1a\n"] {
        assert!(bytes(broken).contains("the backbone cannot be used"), "{}", bytes(broken));
    }
    let whole = backbone(17).encode_to_vec();
    for length in 0..whole.len() {
        // A file that was cut off; some of them are complete messages of less.
        let _ = GraphBuilder::from_backbone(&whole[..length], SIZE).map(|_| ());
    }

    assert!(complaint(open(&backbone(12))).contains("13 or newer is needed, found 12"));
    let mut foreign = backbone(17);
    foreign.opset_import[0].domain = Some("com.example".into());
    assert!(complaint(open(&foreign)).contains("found 0"));

    let mut two = backbone(17);
    two.graph.as_mut().unwrap().input.push(value_info("mask", DataType::Float, &[1, 1, 224, 224]));
    assert!(complaint(open(&two)).contains("expected one image input, found 2"));
    let mut none = backbone(17);
    none.graph.as_mut().unwrap().input.clear();
    assert!(complaint(open(&none)).contains("found 0"));

    let mut outside = backbone(17);
    outside.graph.as_mut().unwrap().initializer[0].external_data.push(StringStringEntryProto::default());
    assert!(complaint(open(&outside)).contains("weights lie in another file"));

    let mut missing = open(&backbone(17)).unwrap();
    missing.graph().output.push(value_info("features", DataType::Float, &[1]));
    assert!(complaint(missing.finish()).contains("nothing makes the output 'features'"));
}

#[test]
fn weights_among_the_inputs_are_not_images() {
    let mut old = backbone(17);
    old.graph.as_mut().unwrap().input.push(value_info("w1", DataType::Float, &[4, 3, 4, 4]));
    assert_eq!(open(&old).unwrap().graph().input.len(), 1);
}

/// A message that is read and written again loses every field that [`ModelProto`] does not declare.
#[test]
fn a_model_that_is_read_and_written_again_is_the_same_network() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet-lite0.onnx");
    let original = std::fs::read(file).unwrap();
    let again = ModelProto::decode(original.as_slice()).unwrap().encode_to_vec();
    assert_eq!(again.len(), original.len(), "a field was lost");
    let outputs = ["stride4", "stride8", "stride16"];
    let shape = [1, 3, 96, 128];
    assert_eq!(run(&again, shape, &outputs), run(&original, shape, &outputs));
}
