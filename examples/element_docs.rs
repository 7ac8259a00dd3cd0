//! Writes a page for every element of the plugin, `docs/elements/NAME.md`:
//!
//! ```text
//! cargo run --example element_docs
//! ```
//!
//! A page opens with the text at the top of the element's `src/elements/NAME/mod.rs`; class, pads, properties and their
//! values come from the element itself. A test compares the pages in the checkout with what this makes.

use gst::prelude::*;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let folder = checkout().join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    for name in elements()? {
        let file = folder.join(format!("{name}.md"));
        std::fs::write(&file, page(&name)?).map_err(|e| format!("{}: {e}", file.display()))?;
        println!("{}", file.display());
    }
    Ok(())
}

/// Where the pages are in the checkout.
pub const FOLDER: &str = "docs/elements";

/// The checkout that this was built from.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the plugin's elements, in alphabetical order.
pub fn elements() -> Result<Vec<String>, Error> {
    gst::init()?;
    gstanomaly::plugin_register_static()?;
    let mut names: Vec<String> = gst::Registry::get()
        .features_by_plugin("anomaly")
        .iter()
        .map(|feature| feature.name().into())
        .collect();
    names.sort();
    Ok(names)
}

/// The page of an element.
pub fn page(name: &str) -> Result<String, Error> {
    let factory = gst::ElementFactory::find(name).ok_or_else(|| format!("there is no element {name}"))?;
    let factory = factory.load()?;
    let about = |key: &str| factory.metadata(key).unwrap_or_default().to_string();
    let mut page = format!(
        "<!-- Written by `cargo run --example element_docs`: edit src/elements/{name}/mod.rs or the properties' texts. -->\n\n\
         # {name}\n\n**{}** (`{}`). {}.\n\n{}\n",
        about("long-name"),
        about("klass"),
        about("description"),
        introduction(name)?,
    );
    page.push_str("\n## Pads\n\n| pad | direction | presence | takes |\n|---|---|---|---|\n");
    let mut pads: Vec<_> = factory.static_pad_templates().into_iter().collect();
    pads.sort_by_key(|pad| pad.name_template().to_string());
    for pad in pads {
        let direction = if pad.direction() == gst::PadDirection::Sink { "in" } else { "out" };
        let presence = format!("{:?}", pad.presence()).to_lowercase();
        writeln!(page, "| `{}` | {direction} | {presence} | {} |", pad.name_template(), takes(&pad.caps()))?;
    }
    page.push_str(&properties(&factory)?);
    Ok(page)
}

/// The text at the top of the element's source, with links where it names another page.
fn introduction(name: &str) -> Result<String, Error> {
    let file: PathBuf = checkout().join("src/elements").join(name).join("mod.rs");
    let source = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let text: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    if text.is_empty() {
        return Err(format!("{}: no text at its top", file.display()).into());
    }
    // `docs/metadata.md` in the source is a link in the page.
    let mut text = text.join("\n");
    for entry in std::fs::read_dir(checkout().join("docs"))? {
        let other = entry?.file_name().to_string_lossy().into_owned();
        text = text.replace(&format!("`docs/{other}`"), &format!("[{other}](../{other})"));
    }
    Ok(text)
}

/// What a pad takes. Lists of formats grow with GStreamer's versions: all of them are called that.
fn takes(caps: &gst::Caps) -> String {
    let all = gst_video::VideoFormat::iter_raw().count();
    let one = |(structure, features): (&gst::StructureRef, &gst::CapsFeaturesRef)| {
        let formats = structure.get::<gst::List>("format").map_or(1, |list| list.len());
        let formats = if formats >= all { "every format".into() } else { format!("{formats} formats") };
        let memory = if features.is_any() { ", in any memory" } else { "" };
        format!("`{}`, {formats}{memory}", structure.name())
    };
    caps.iter_with_features().map(one).collect::<Vec<_>>().join("; ")
}

/// The table of an element's own properties, and the values of those that choose.
fn properties(factory: &gst::ElementFactory) -> Result<String, Error> {
    let element = factory.create().build()?;
    let mut table = "\n## Properties\n\n\
                     | property | meaning | type | default | can be set |\n|---|---|---|---|---|\n"
        .to_string();
    let mut values = String::new();
    for property in element.list_properties().iter().filter(|p| p.owner_type() == element.type_()) {
        let (name, blurb) = (property.name(), property.blurb().unwrap_or_default().replace('|', "\\|"));
        let (kind, default) = (kind(property), default(property));
        writeln!(table, "| `{name}` | {blurb} | {kind} | {default} | {} |", when(property.flags()))?;
        let choices = choices(property);
        if !choices.is_empty() {
            write!(values, "\n### Values of `{name}`\n\n| value | meaning |\n|---|---|\n")?;
            for (nick, meaning) in choices {
                writeln!(values, "| `{nick}` | {meaning} |")?;
            }
        }
    }
    Ok(table + &values)
}

/// When a property can be set.
fn when(flags: glib::ParamFlags) -> &'static str {
    if !flags.contains(glib::ParamFlags::WRITABLE) {
        "no, read only"
    } else if flags.contains(gst::PARAM_FLAG_MUTABLE_PLAYING) {
        "at any time"
    } else if flags.contains(gst::PARAM_FLAG_MUTABLE_PAUSED) {
        "while paused"
    } else {
        "before the start"
    }
}

/// Calls a macro's arm for each numeric kind of property.
macro_rules! numbers {
    ($property:expr, $found:ident => $then:expr, $($spec:ident: $kind:literal),+) => {
        $(if let Some($found) = $property.downcast_ref::<glib::$spec>() {
            let (low, high) = ($found.minimum(), $found.maximum());
            return $then($kind, low as f64, high as f64);
        })+
    };
}

/// The type of a property, with the range of a number.
fn kind(property: &glib::ParamSpec) -> String {
    let range = |kind: &str, low: f64, high: f64| {
        // Bounds that only are those of the type say nothing.
        let bounded = |value: f64| value.abs() < f64::from(i32::MAX);
        match (bounded(low), bounded(high)) {
            (true, true) => format!("{kind}, {low} to {high}"),
            (true, false) => format!("{kind}, {low} or more"),
            (false, true) => format!("{kind}, {high} or less"),
            (false, false) => kind.into(),
        }
    };
    numbers!(property, spec => range,
        ParamSpecInt: "integer", ParamSpecUInt: "integer", ParamSpecInt64: "integer", ParamSpecUInt64: "integer",
        ParamSpecFloat: "number", ParamSpecDouble: "number");
    if property.is::<glib::ParamSpecEnum>() {
        "one of the values below".into()
    } else if property.is::<glib::ParamSpecFlags>() {
        "any of the values below, joined by `+`".into()
    } else if property.is::<glib::ParamSpecBoolean>() {
        "boolean".into()
    } else if property.is::<glib::ParamSpecString>() {
        "string".into()
    } else {
        property.value_type().name().into()
    }
}

/// The default of a property, as gst-launch-1.0 takes it.
fn default(property: &glib::ParamSpec) -> String {
    if !property.flags().contains(glib::ParamFlags::WRITABLE) {
        return String::new();
    }
    let value = property.default_value();
    if let Ok(text) = value.get::<Option<String>>() {
        return text.map_or_else(String::new, |text| format!("`{text}`"));
    }
    if let Ok(number) = value.get::<f64>() {
        return format!("`{number}`");
    }
    if let Some((_, set)) = glib::FlagsValue::from_value(value) {
        let nicks: Vec<&str> = set.iter().map(|flag| flag.nick()).collect();
        return format!("`{}`", nicks.join("+"));
    }
    value.serialize().map_or_else(|_| String::new(), |text| format!("`{text}`"))
}

/// The values of an enumeration or of flags: nick and meaning.
fn choices(property: &glib::ParamSpec) -> Vec<(String, String)> {
    if let Some(class) = glib::EnumClass::with_type(property.value_type()) {
        return class.values().iter().map(|v| (v.nick().into(), v.name().into())).collect();
    }
    let flags = glib::FlagsClass::with_type(property.value_type());
    flags.map_or_else(Vec::new, |class| {
        class.values().iter().map(|v| (v.nick().into(), v.name().into())).collect()
    })
}
