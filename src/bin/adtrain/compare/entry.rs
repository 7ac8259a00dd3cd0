//! What is compared: a method, with what makes it different from the others.

use crate::arguments::{self, Method, PrecisionArgument};
use crate::learning::PresetArgument;
use clap::ValueEnum;
use gstanomaly::methods::fitting::InputSize;

/// An entry of `--methods`: `METHOD[:PRESET][:NAME=VALUE]...`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As given.
    pub text: String,
    pub method: Method,
    /// Of the learned branch.
    pub preset: PresetArgument,
    /// Instead of the one for all.
    pub backbone: Option<String>,
    /// What the network computes with.
    pub precision: PrecisionArgument,
    /// Of the images, as the network sees them.
    pub contrast: f32,
    /// Instead of the backbone's default ones.
    pub layers: Vec<String>,
    /// Instead of the one for all.
    pub size: Option<InputSize>,
    /// Parameters of the method.
    pub set: Vec<(String, String)>,
}

/// What `--methods` names, at least one entry.
#[derive(Clone, Debug)]
pub struct Entries(pub Vec<Entry>);

/// Reads entries with commas between them.
pub fn parse_all(text: &str) -> Result<Entries, String> {
    split(text, ',')?.into_iter().map(parse).collect::<Result<_, _>>().map(Entries)
}

/// The parts of `text` between `separator`s; one in brackets belongs to a value.
fn split(text: &str, separator: char) -> Result<Vec<&str>, String> {
    let mut depth = 0;
    let between = |c: char| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        c == separator && depth == 0
    };
    let parts = text.split(between).map(str::trim).collect();
    match depth {
        0 => Ok(parts),
        _ => Err(format!("'{text}' has brackets that do not belong together")),
    }
}

/// Reads an entry.
fn parse(text: &str) -> Result<Entry, String> {
    let mut parts = split(text, ':')?.into_iter();
    let method = method(parts.next().unwrap_or_default())?;
    let mut entry = Entry {
        text: text.trim().into(),
        method,
        preset: PresetArgument::Raw,
        backbone: None,
        precision: PrecisionArgument::F32,
        contrast: 1.0,
        layers: Vec::new(),
        size: None,
        set: Vec::new(),
    };
    for part in parts {
        match part.split_once('=') {
            None => entry.preset = preset(method, part)?,
            Some(("backbone", value)) => entry.backbone = Some(value.into()),
            Some(("layers", value)) => entry.layers = value.split('+').map(Into::into).collect(),
            Some(("precision", value)) => entry.precision = precision(value)?,
            Some(("contrast", value)) => entry.contrast = contrast(value)?,
            Some(("size", value)) => entry.size = Some(arguments::input_size(value)?),
            Some((name, value)) => {
                let (name, value) = setting(method, name, value)?;
                if entry.set.iter().any(|(other, _)| *other == name) {
                    return Err(format!("'{text}' has {name} twice"));
                }
                entry.set.push((name, value));
            }
        }
    }
    Ok(entry)
}

/// Reads `METHOD.NAME=VALUE`.
pub fn set(text: &str) -> Result<(Method, (String, String)), String> {
    let expected = || "expected METHOD.NAME=VALUE, such as patchcore.coreset=0.01".to_owned();
    let (name, value) = arguments::setting(text).map_err(|_| expected())?;
    let (of, name) = name.split_once('.').ok_or_else(expected)?;
    let method = method(of)?;
    Ok((method, setting(method, name, &value)?))
}

fn method(name: &str) -> Result<Method, String> {
    Method::from_str(name, false).map_err(|_| {
        let known: Vec<&str> = Method::value_variants().iter().map(|method| method.name).collect();
        format!("unknown method '{name}'; there are: {}", known.join(", "))
    })
}

fn preset(method: Method, name: &str) -> Result<PresetArgument, String> {
    match PresetArgument::from_str(name, false) {
        Ok(_) if !method.training.learned_head => {
            let others = Method::value_variants().iter().filter(|method| method.training.learned_head);
            let others: Vec<&str> = others.map(|method| method.name).collect();
            Err(format!("'{name}' is a preset of {}, {} has none", others.join(", "), method.name))
        }
        Ok(preset) => Ok(preset),
        Err(_) => Err(format!(
            "'{name}' is neither a preset (raw, standard, fast, faster) nor a setting such as neighbours=5"
        )),
    }
}

fn contrast(text: &str) -> Result<f32, String> {
    arguments::contrast(text).map_err(|problem| format!("contrast '{text}': {problem}"))
}

fn precision(name: &str) -> Result<PrecisionArgument, String> {
    PrecisionArgument::from_str(name, false).map_err(|_| format!("precision '{name}': expected f32 or int8"))
}

/// A parameter of a method; what `adtrain fit` has a flag for is read as that flag reads it.
fn setting(method: Method, name: &str, value: &str) -> Result<(String, String), String> {
    match method.training.flags.iter().find(|flag| flag.name == name) {
        Some(flag) => {
            let value = (flag.read)(value).map_err(|problem| format!("{name} '{value}': {problem}"))?;
            Ok((flag.setting.into(), value))
        }
        None => Ok((name.into(), value.into())),
    }
}

impl Entry {
    /// The folder of its bundle.
    pub fn bundle_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' };
        let name: String = self.text.chars().map(plain).collect();
        format!("{name}.bundle")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_a_method_a_preset_and_settings() {
        assert_eq!(parse("npad:contrast=2.2").unwrap().contrast, 2.2);
        let entry = parse("cpr:faster:size=64x96:neighbours=5:layers=a+b:precision=int8").unwrap();
        assert_eq!((entry.method.name, entry.preset), ("cpr", PresetArgument::Faster));
        assert_eq!(entry.size, Some(InputSize::Fixed(64, 96)));
        assert_eq!(entry.set, [("neighbours".into(), "5".into())]);
        assert_eq!(
            (entry.layers.as_slice(), entry.precision),
            (&["a".into(), "b".into()][..], PrecisionArgument::Int8)
        );
        assert_eq!(
            entry.bundle_name(),
            "cpr-faster-size-64x96-neighbours-5-layers-a-b-precision-int8.bundle"
        );
        assert_eq!(parse("hetmm:sheets=all").unwrap().set, [("sheets".into(), "null".into())]);
        let scales = parse(r#"cpr:scales=[{"window":3},{"window":1}]:neighbours=5"#).unwrap().set;
        assert_eq!(scales[0].1, r#"[{"window":3},{"window":1}]"#);
        assert_eq!(scales.len(), 2);
        let index = set("patchcore.index=approximate").unwrap().1;
        assert_eq!(index, ("index.kind".into(), r#""approximate""#.into()));
        assert_eq!(set("patchcore.coreset=0.01").unwrap().1, ("coreset".into(), "0.01".into()));
        assert_eq!(set("cpr.global.codes=5").unwrap().1, ("global.codes".into(), "5".into()));
    }

    #[test]
    fn commas_separate_entries_but_not_the_numbers_of_a_list() {
        let names = |text: &str| {
            parse_all(text).map(|Entries(entries)| entries.into_iter().map(|e| e.text).collect::<Vec<_>>())
        };
        assert_eq!(
            names("cpr, hetmm:forward_windows=[3,3]:weights=[1, 2],npad").unwrap(),
            ["cpr", "hetmm:forward_windows=[3,3]:weights=[1, 2]", "npad"]
        );
        assert!(names("cpr,,npad").is_err() && names("").is_err());
        for open in ["hetmm:weights=[1,2,npad", "hetmm:weights=1,2],npad"] {
            assert!(names(open).unwrap_err().contains("brackets"), "{open}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("magic", "unknown method 'magic'; there are: cpr, patchcore"),
            ("", "unknown method ''"),
            ("npad:faster", "'faster' is a preset of cpr, npad has none"),
            ("cpr:quick", "'quick' is neither a preset"),
            ("cpr:size=100x100", "multiples of 32"),
            ("hetmm:sheets=few", "expected a number of sheets"),
            ("patchcore:index=fast", "index 'fast': expected exact or approximate"),
            ("cpr:neighbours=3:neighbours=4", "has neighbours twice"),
            ("cpr:contrast=0", "contrast '0': must be 0.1 to 10"),
            ("cpr:precision=int4", "precision 'int4': expected f32 or int8"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
        for text in ["coreset=1", "cpr.neighbours", "magic.coreset=1"] {
            assert!(set(text).is_err(), "{text}");
        }
    }
}
