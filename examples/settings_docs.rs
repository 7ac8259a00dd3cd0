//! Writes `docs/settings.md`, every number of the methods that `adtrain fit --set` takes:
//!
//! ```text
//! cargo run --example settings_docs
//! ```
//!
//! What a setting means is the comment of its field in the source, its default is what the library says. A test compares the page in the
//! checkout with what this makes.

use gstanomaly::dataset::synthetic::ProductKind;
use gstanomaly::methods::cpr::train::{Learning, Preset};
use gstanomaly::methods::{Descriptor, METHODS};
use gstanomaly::network::backbone::Backbone;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Error = Box<dyn std::error::Error>;

/// Where the page is in the checkout.
pub const PAGE: &str = "docs/settings.md";

fn main() -> Result<(), Error> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    std::fs::write(&file, page()?).map_err(|e| format!("{}: {e}", file.display()))?;
    println!("{}", file.display());
    Ok(())
}

/// Above the tables.
const INTRODUCTION: &str = "\
<!-- Written by `cargo run --example settings_docs`: edit there, or the comments of the fields in src/methods. -->

# Settings

Every number of a method can be set when a bundle is learned, `adtrain fit --set NAME=VALUE`, or compared,
`adtrain compare --methods METHOD:NAME=VALUE`. Nobody needs that to begin with: the defaults are the papers' values, but where a
method's own page gives a reason. Letters are the papers'. A list is written in brackets, as in `--set 'weights=[1,1,0.5]'`, none as `null`. What
is not here follows from the images, the network or other settings. A bundle keeps what it was learned with, and `adtrain info` shows it.
";

/// What the user can set, and what it is by default.
pub fn page() -> Result<String, Error> {
    let structs = structs()?;
    let mut page = INTRODUCTION.to_owned();
    let mut method = |title: &str, text: &str, params: Value, decided: &[&str], fields: &str| {
        let mut rows = Vec::new();
        list(&structs, fields, &[params], "", decided, &mut rows)?;
        page.push_str(&format!("\n## {title}\n\n{text}\n\n| setting | default | meaning |\n|---|---|---|\n"));
        rows.into_iter().for_each(|row| page.push_str(&row));
        Ok::<(), Error>(())
    };
    // With the layers of the network that is shipped.
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet-lite0.onnx");
    let backbone = Backbone::open(&models.to_string_lossy())?;
    for Descriptor { name, title, training, .. } in METHODS {
        let text = format!("[{title}](../src/methods/{name}/README.md), `--method {name}`.{}", training.note);
        let defaults = (training.defaults)(&backbone)?;
        method(name, &text, defaults, training.decided, &format!("{name}::Params"))?;
    }

    let plans: Vec<Value> = [Preset::Standard, Preset::Fast, Preset::Faster]
        .into_iter()
        .map(|preset| Learning::new(preset, PathBuf::new()).plan(ProductKind::Object).map(|plan| json!(plan)))
        .collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    list(&structs, "train::Plan", &plans, "learning.", &[], &mut rows)?;
    page.push_str(
        "\n## The learned branch of cpr\n\n\
         With `--preset standard`, `fast` or `faster`; where these differ their values stand in this order, and steps and queries are those of an \
         object: textures take 100 steps. `--steps`, `--batch`, `--lr` and `--minutes` win over what is set here.\n\n\
         | setting | default | meaning |\n|---|---|---|\n",
    );
    rows.into_iter().for_each(|row| page.push_str(&row));
    Ok(page)
}

/// The structs and enums of the library's settings by their names and those of the folders around them, `patchcore::Params`.
type Structs = BTreeMap<String, syn::Item>;

fn structs() -> Result<Structs, Error> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut structs = Structs::new();
    for folder in [
        "methods/cpr",
        "methods/cpr/train",
        "methods/hetmm",
        "methods/npad",
        "methods/patchcore",
        "dataset/synthetic",
    ] {
        let folder = source.join(folder);
        for entry in std::fs::read_dir(&folder)? {
            let file = entry?.path();
            if file.extension().is_none_or(|end| end != "rs") {
                continue;
            }
            let parsed = syn::parse_file(&std::fs::read_to_string(&file)?)
                .map_err(|e| format!("{}: {e}", file.display()))?;
            let module = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for item in parsed.items {
                let name = match &item {
                    syn::Item::Struct(item) => &item.ident,
                    syn::Item::Enum(item) => &item.ident,
                    _ => continue,
                };
                let name = format!("{module}::{name}");
                if structs.insert(name.clone(), item).is_some() {
                    return Err(format!("two of the name {name}").into());
                }
            }
        }
    }
    Ok(structs)
}

/// The rows of a struct's fields, those of the structs in it by their own names. `values` are what it is by default, one for each preset.
fn list(
    structs: &Structs,
    name: &str,
    values: &[Value],
    prefix: &str,
    decided: &[&str],
    rows: &mut Vec<String>,
) -> Result<(), Error> {
    let Some(syn::Item::Struct(item)) = structs.get(name) else {
        return Err(format!("no struct {name}").into());
    };
    for field in &item.fields {
        let own = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let setting = format!("{prefix}{own}");
        if decided.contains(&setting.as_str()) {
            continue;
        }
        let values: Vec<Value> = values.iter().map(|value| value[&own].clone()).collect();
        let inner = named(structs, name, &field.ty);
        if values[0].is_object() {
            let inner = inner.ok_or_else(|| format!("{setting}: no struct of that name"))?;
            list(structs, &inner, &values, &format!("{setting}."), decided, rows)?;
            continue;
        }
        let mut meaning = comment(&field.attrs);
        if let Some(syn::Item::Enum(choice)) = inner.and_then(|inner| structs.get(&inner)) {
            for variant in &choice.variants {
                let value = variant.ident.to_string().to_lowercase();
                meaning.push_str(&format!(" `{value}`: {}", comment(&variant.attrs)));
            }
        }
        let mut shown: Vec<String> = values.iter().map(shown).collect();
        if shown.iter().all(|other| *other == shown[0]) {
            shown.truncate(1);
        }
        rows.push(format!("| `{setting}` | {} | {meaning} |\n", shown.join(", ")));
    }
    Ok(())
}

/// The struct or enum that a field is of, near the struct that it is in or anywhere else.
fn named(structs: &Structs, around: &str, ty: &syn::Type) -> Option<String> {
    let syn::Type::Path(path) = ty else { return None };
    let name = path.path.segments.last()?.ident.to_string();
    let module = around.split("::").next()?;
    let near = format!("{module}::{name}");
    let far = || structs.keys().find(|key| key.ends_with(&format!("::{name}"))).cloned();
    if structs.contains_key(&near) { Some(near) } else { far() }
}

/// A field's comment on one line; links to other fields are their names.
fn comment(attributes: &[syn::Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let text = lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>().join(" ");
    let mut parts = text.split("[`");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (link, rest) = part.split_once("`]").unwrap_or((part, ""));
        plain.push_str(&format!("`{}`{rest}", link.rsplit("::").next().unwrap_or(link)));
    }
    plain.replace('|', "\\|")
}

/// A default as it is written on the command line.
fn shown(value: &Value) -> String {
    // What is stored with 32 bits is not to be shown with 64.
    fn short(value: &Value) -> String {
        match value {
            Value::Number(number) if number.is_f64() => {
                let value = number.as_f64().unwrap_or(f64::NAN);
                let narrow = value as f32;
                if f64::from(narrow) == value { narrow.to_string() } else { value.to_string() }
            }
            Value::Array(values) => {
                format!("[{}]", values.iter().map(short).collect::<Vec<_>>().join(","))
            }
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| format!("\"{name}\":{}", short(value)));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
    format!("`{}`", short(value))
}
