//! Values that nobody should set: none of them ends the process, none is lost without a word.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use glib::translate::ToGlibPtr;
use gst::prelude::*;
use pipeline::{Line, failure_at_start, info_of, init, score};
use product::{WIDTH, copy, defective, good, scratch, square};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const ELEMENTS: [&str; 6] = ["adfeatures", "adretrieve", "adscore", "adoverlay", "addetect", "adpublish"];
/// Values of each property that are tried.
const TRIED: usize = 200;
/// "Müller" in Latin-1.
const LATIN1: &[u8] = b"M\xfcller";

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Sets a property as C does, with whatever bytes.
fn set_bytes(element: &gst::Element, name: &str, bytes: &[u8]) {
    let value = Path::new(OsStr::from_bytes(bytes)).to_value();
    set(element, name, &value);
}

fn set(element: &gst::Element, name: &str, value: &glib::Value) {
    let name = CString::new(name).unwrap();
    let object: &glib::Object = element.upcast_ref();
    // SAFETY: the object and the value are alive, and the value has the property's type.
    unsafe {
        glib::gobject_ffi::g_object_set_property(
            object.to_glib_none().0,
            name.as_ptr(),
            value.to_glib_none().0,
        )
    };
}

/// A property's bytes.
fn bytes(element: &gst::Element, name: &str) -> Vec<u8> {
    let path: Option<PathBuf> = element.property_value(name).get().unwrap();
    path.map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default()
}

/// What the element itself declares and lets others write.
fn own_properties(element: &gst::Element) -> Vec<glib::ParamSpec> {
    let own = |pspec: &glib::ParamSpec| {
        pspec.owner_type() == element.type_() && pspec.flags().contains(glib::ParamFlags::WRITABLE)
    };
    let own: Vec<_> = element.list_properties().iter().filter(|pspec| own(pspec)).cloned().collect();
    assert!(!own.is_empty() || element.factory().is_none());
    own
}

/// Hostile texts, of which none has a zero byte: C has no such strings.
fn texts(random: &mut Random) -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = [
        b"" as &[u8],
        LATIN1,
        b"\xff\xfe",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xe2\x82",
        b"\xf4\x90\x80\x80",
        b"\x1b[31m\r\n\t\x07\x7f",
        b"%s%n%d",
        b"../../../../etc/passwd",
        b"/",
        b".",
        b" ",
        b"\"'`$(id)",
        b"-1,-1,5,5",
        b"0,0,0,0",
        b"NaN%,0%,1%,1%",
        b"4294967295,4294967295,4294967295,4294967295",
        b"1e999",
        b"NaN",
        "\u{202e}\u{feff}".as_bytes(),
        "\u{1f4a5}".as_bytes(),
        b"mqtt://[::1]:99999",
        b"tcp://:::",
        b"{\"TLS\": true}",
    ]
    .map(<[u8]>::to_vec)
    .into();
    texts.extend([vec![b'A'; 1 << 20], vec![0xff; 1 << 20], b"1,".repeat(1 << 16)]);
    while texts.len() < TRIED {
        let length = random.next() % 64;
        texts.push((0..length).map(|_| (random.next() % 255) as u8 + 1).collect());
    }
    texts
}

/// Hostile values of a property's type. Those outside of its range GObject itself refuses before the element sees them.
fn values(pspec: &glib::ParamSpec, random: &mut Random) -> Vec<glib::Value> {
    let kind = pspec.value_type();
    let mut values: Vec<glib::Value> = match kind {
        glib::Type::STRING => texts(random)
            .iter()
            .map(|text| Path::new(OsStr::from_bytes(text)).to_value())
            .chain([None::<String>.to_value()])
            .collect(),
        glib::Type::F64 => {
            let special = [
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::MAX,
                f64::MIN,
                f64::MIN_POSITIVE,
                -0.0,
                0.0,
                5e-324,
                1e308,
                -1e-308,
            ];
            let random = (0..TRIED).map(|_| f64::from_bits(random.next()));
            special.into_iter().chain(random).map(|value| value.to_value()).collect()
        }
        glib::Type::U32 => [0, 1, u32::MAX, 1 << 31]
            .into_iter()
            .chain((0..TRIED).map(|_| random.next() as u32))
            .map(|v| v.to_value())
            .collect(),
        glib::Type::I32 => [0, -1, i32::MAX, i32::MIN]
            .into_iter()
            .chain((0..TRIED).map(|_| random.next() as i32))
            .map(|v| v.to_value())
            .collect(),
        glib::Type::U64 => [0, 1, u64::MAX]
            .into_iter()
            .chain((0..TRIED).map(|_| random.next()))
            .map(|v| v.to_value())
            .collect(),
        glib::Type::BOOL => vec![true.to_value(), false.to_value()],
        _ => {
            let mut value = glib::Value::from_type(kind);
            // SAFETY: the value is of this enumeration or these flags.
            unsafe {
                let value: *mut glib::gobject_ffi::GValue =
                    glib::translate::ToGlibPtrMut::to_glib_none_mut(&mut value).0;
                match kind.is_a(glib::Type::FLAGS) {
                    true => glib::gobject_ffi::g_value_set_flags(value, u32::MAX),
                    false => glib::gobject_ffi::g_value_set_enum(value, i32::MAX),
                }
            }
            vec![value]
        }
    };
    values.retain_mut(|value| {
        // SAFETY: the value has the type of the specification.
        let mut validate = || unsafe {
            let value = glib::translate::ToGlibPtrMut::to_glib_none_mut(value).0;
            glib::gobject_ffi::g_param_value_validate(pspec.to_glib_none().0, value) != glib::ffi::GFALSE
        };
        // NaN cannot be brought into a range, and GObject refuses it where a property does not say that it takes it.
        !validate() || !validate() || pspec.flags().contains(glib::ParamFlags::LAX_VALIDATION)
    });
    values
}

#[test]
fn no_value_of_a_property_ends_the_process() {
    init();
    // Whatever GLib complains about ends this test.
    glib::log_set_always_fatal(glib::LogLevels::LEVEL_CRITICAL | glib::LogLevels::LEVEL_WARNING);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for name in ELEMENTS {
        let element = gst::ElementFactory::make(name).build().unwrap();
        let mut tried = 0;
        for pspec in own_properties(&element) {
            for value in values(&pspec, &mut random) {
                set(&element, pspec.name(), &value);
                // What can be set can be read.
                assert_eq!(element.property_value(pspec.name()).type_(), pspec.value_type());
                tried += 1;
            }
        }
        set_bytes(&element, "name", LATIN1);
        println!("{name}: {tried} values");
        assert!(tried > TRIED || name == "adoverlay");
    }
}

/// Every property of a kind that each element has, with the element in front of the sink.
fn strings() -> Vec<(&'static str, String)> {
    init();
    let mut found = Vec::new();
    for name in ELEMENTS {
        let element = gst::ElementFactory::make(name).build().unwrap();
        let strings =
            own_properties(&element).into_iter().filter(|pspec| pspec.value_type() == glib::Type::STRING);
        found.extend(strings.map(|pspec| (name, pspec.name().to_owned())));
    }
    assert!(found.len() >= 14, "{found:?}");
    found
}

/// A pipeline that would start, with the element `name` in it.
fn around(name: &str, square: &Path) -> String {
    let bundle = square.display();
    match name {
        "adfeatures" => format!("adfeatures name=it model={bundle}"),
        "addetect" => format!("addetect name=it model={bundle}"),
        "adpublish" => {
            format!("adpublish name=it file-path={}", product::FOLDER.join("hostile.jsonl").display())
        }
        name => format!("{name} name=it"),
    }
}

#[test]
fn an_element_starts_with_hostile_text_or_says_what_is_wrong() {
    let hostile: [&[u8]; 5] = [LATIN1, b"\xff", b"\x01\x1b[2J\n", b"", &[b'x'; 5000]];
    let folder = scratch();
    for (name, property) in strings() {
        for bytes in hostile {
            // Names of files are relative to a folder of our own.
            let at_home = [folder.path().as_os_str().as_bytes(), b"/", bytes].concat();
            let is_file =
                ["model", "evidence-folder", "ignore-mask", "file-path", "mqtt-config", "kafka-config"];
            let bytes =
                if is_file.contains(&property.as_str()) && !bytes.is_empty() { &at_home } else { bytes };
            let line = Line::new(&around(name, square()), &info_of(&good(1)));
            set_bytes(&line.element("it"), &property, bytes);
            let started = line.pipeline.set_state(gst::State::Paused).is_ok();
            let error = line.error();
            assert_eq!(started, error.is_none(), "{name} {property}: {error:?}");
            if let Some(error) = error {
                assert!(!error.to_lowercase().contains("panic"), "{name} {property}: {error}");
            }
        }
    }
}

#[test]
fn a_file_may_have_any_name() {
    let folder = scratch();
    let place = folder.path().join(OsStr::from_bytes(LATIN1));
    std::fs::create_dir(&place).unwrap();
    let [bundle, mask, evidence, results] =
        ["bundle", "mask.png", "evidence", "results.jsonl"].map(|name| place.join(name));
    copy(square(), &bundle);
    image::RgbImage::from_pixel(8, 8, image::Rgb([255; 3])).save(&mask).unwrap();
    let plain = Line::playing(&pipeline::chain(square()), &info_of(&good(1)));
    let expected = score(&plain.pass(&defective(1), 0));

    let line = Line::new("addetect name=it ! adpublish name=publish", &info_of(&good(1)));
    for (element, property, path) in [
        ("it", "model", &bundle),
        ("it", "ignore-mask", &mask),
        ("it", "evidence-folder", &evidence),
        ("publish", "file-path", &results),
    ] {
        let name = path.as_os_str().as_bytes();
        set_bytes(&line.element(element), property, name);
        assert_eq!(bytes(&line.element(element), property), name, "{property}");
    }
    line.pipeline.set_state(gst::State::Playing).unwrap_or_else(|e| panic!("{e}: {:?}", line.error()));
    assert_eq!(score(&line.pass(&defective(1), 0)), expected);
    line.drain();
    line.pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(std::fs::read_to_string(&results).unwrap().lines().count(), 1);
    assert_eq!(
        std::fs::read_dir(&evidence)
            .unwrap()
            .filter(|e| !e.as_ref().unwrap().file_name().as_bytes().starts_with(b"."))
            .count(),
        3
    );

    // One that is missing is named.
    for (property, element) in [
        ("model", "adfeatures"),
        ("mqtt-config", "adpublish method=mqtt"),
        ("kafka-config", "adpublish method=kafka"),
    ] {
        let line = Line::new(&format!("{element} name=it"), &info_of(&good(1)));
        set_bytes(&line.element("it"), property, b"/nowhere/M\xfcller");
        assert!(line.pipeline.set_state(gst::State::Playing).is_err());
        let message = line.expect_error();
        assert!(message.contains("/nowhere/M"), "{property}: {message}");
    }
}

/// What gst-launch-1.0 prints goes to a terminal.
#[test]
fn messages_hold_no_commands_for_a_terminal() {
    for (element, property) in [
        ("adfeatures", "model"),
        ("adpublish method=mqtt", "mqtt-config"),
        ("adpublish", "file-path"),
        ("adpublish method=mqtt address=localhost", "topic"),
        ("adpublish method=mqtt topic=a", "address"),
        ("adpublish method=mqtt topic=a address=a", "state-topic"),
    ] {
        let line = Line::new(&format!("{element} name=it"), &info_of(&good(1)));
        set_bytes(&line.element("it"), property, b"/nowhere/\x1b[31m\nred#");
        assert!(line.pipeline.set_state(gst::State::Playing).is_err(), "{element}");
        let message = line.messages(&[gst::MessageType::Error]).remove(0);
        let gst::MessageView::Error(error) = message.view() else { panic!("{message:?}") };
        let text = error.error().to_string();
        assert!(text.contains("\\u001b[31m") && !text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn text_that_is_no_text_is_an_error_at_the_start() {
    for (name, property) in [
        ("adfeatures", "roi"),
        ("addetect", "roi"),
        ("adpublish", "address"),
        ("adpublish", "topic"),
        ("adpublish", "camera"),
    ] {
        let line = Line::new(&around(name, square()), &info_of(&good(1)));
        let element = line.element("it");
        set_bytes(&element, property, LATIN1);
        assert!(line.pipeline.set_state(gst::State::Playing).is_err(), "{name} {property}");
        let message = line.expect_error();
        assert!(
            message.contains(property) && message.contains("UTF-8") && message.contains("xFCller"),
            "{message}"
        );
        line.pipeline.set_state(gst::State::Null).unwrap();
        // Whoever sets it right can start.
        set(&element, property, &None::<String>.to_value());
        line.pipeline.set_state(gst::State::Playing).unwrap_or_else(|e| panic!("{e}: {:?}", line.error()));
    }
}

#[test]
fn a_part_of_the_frame_that_is_none_is_an_error_at_the_start() {
    for roi in [
        "bla",
        "10:10:50:50",
        "-1,-1,5,5",
        "0,0,0,0",
        "1,2,3",
        "10%,10%,50,50",
        "50%,0%,60%,100%",
        "0%,0%,0%,0%",
    ] {
        for element in ["adfeatures", "addetect"] {
            let message = failure_at_start(
                &format!("{element} roi={roi} model={}", square().display()),
                &info_of(&good(1)),
            );
            assert!(
                message.contains("roi") && message.contains(roi) && message.contains("expected"),
                "{message}"
            );
        }
    }
    let line =
        Line::new(&format!("adfeatures roi=bla name=it model={}", square().display()), &info_of(&good(1)));
    line.element("it").set_property("roi", "1,2,30,40");
    line.pipeline.set_state(gst::State::Playing).unwrap();
    assert!(line.error().is_none());
    // While it plays, it is a warning, and what was there stays.
    set_bytes(&line.element("it"), "roi", LATIN1);
    let warning = line.expect_warning();
    assert!(warning.contains("roi") && warning.contains("as it was"), "{warning}");
    assert_eq!(line.element("it").property::<String>("roi"), "1,2,30,40");
}

/// Another value than the one that a property has.
fn another(element: &gst::Element, pspec: &glib::ParamSpec) -> glib::Value {
    let old = element.property_value(pspec.name());
    match pspec.value_type() {
        glib::Type::STRING => "/tmp/another".to_value(),
        glib::Type::U32 => (old.get::<u32>().unwrap() + 1).to_value(),
        glib::Type::I32 => (old.get::<i32>().unwrap() + 1).to_value(),
        glib::Type::U64 => (old.get::<u64>().unwrap() + 1).to_value(),
        kind => {
            let class =
                glib::EnumClass::with_type(kind).unwrap_or_else(|| panic!("{}: {kind}", pspec.name()));
            let now = glib::EnumValue::from_value(&old).unwrap().1.value();
            let other = class.values().iter().find(|value| value.value() != now).unwrap();
            other.to_value(&class)
        }
    }
}

#[test]
fn what_counts_at_the_start_alone_is_refused_while_playing() {
    let results = scratch();
    let line = Line::playing(
        &format!(
            "addetect name=addetect model={0} ! adfeatures name=adfeatures model={0} ! adretrieve name=adretrieve ! adscore name=adscore \
             ! adoverlay name=adoverlay ! adpublish name=adpublish file-path={1}/results.jsonl",
            square().display(),
            results.path().display()
        ),
        &info_of(&good(1)),
    );
    line.pass(&good(1), 0);
    let mut refused = 0;
    for name in ELEMENTS {
        let element = line.element(name);
        for pspec in own_properties(&element) {
            let property = pspec.name();
            if pspec.flags().contains(gst::PARAM_FLAG_MUTABLE_PLAYING) {
                continue;
            }
            let shown = |element: &gst::Element| format!("{:?}", element.property_value(property));
            let before = shown(&element);
            element.set_property_from_value(property, &another(&element, &pspec));
            let warning = line.expect_warning();
            assert!(
                warning.contains(property) && warning.contains("before the start"),
                "{name} {property}: {warning}"
            );
            assert_eq!(shown(&element), before, "{name} {property}");
            line.messages(&[gst::MessageType::Warning]);
            refused += 1;
        }
    }
    println!("{refused} properties");
    assert!(refused >= 20);
    // Nothing has happened to the stream, and after the stop they can be set.
    score(&line.pass(&good(1), 1));
    line.pipeline.set_state(gst::State::Ready).unwrap();
    line.element("adfeatures").set_property("threads", 1u32);
    assert_eq!(line.element("adfeatures").property::<u32>("threads"), 1);
    assert!(line.messages(&[gst::MessageType::Warning]).is_empty());
    assert_eq!(WIDTH, good(1).width());
}

#[test]
fn more_threads_than_cores_are_a_warning() {
    let cores = gstanomaly::network::cores();
    let many =
        Line::playing(&format!("addetect threads=1024 model={}", square().display()), &info_of(&good(1)));
    let warning = many.expect_warning();
    assert!(warning.contains("1024") && warning.contains(&format!("{cores} run")), "{warning}");
    let scores = [0, 1, cores as u32, 1024].map(|threads| {
        let line = Line::playing(
            &format!("addetect threads={threads} model={}", square().display()),
            &info_of(&good(1)),
        );
        let found = score(&line.pass(&defective(1), 0));
        assert_eq!(line.messages(&[gst::MessageType::Warning]).is_empty(), threads < 1024);
        found
    });
    assert!(scores.iter().all(|score| (score / scores[0] - 1.0).abs() < 1e-4), "{scores:?}");
}
