//! Parameters by their names, as a user sets them.

use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Display;

/// The value of a setting, numbers in it always of the same kind.
pub(crate) fn plain(text: &str) -> Value {
    fn same_kind(value: Value) -> Value {
        match value {
            Value::Number(number) => number.as_f64().map_or(Value::Number(number), Value::from),
            Value::Array(values) => values.into_iter().map(same_kind).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, value)| (name, same_kind(value))).collect()
            }
            other => other,
        }
    }
    // A word needs no quotes.
    serde_json::from_str(text).map_or_else(|_| text.into(), same_kind)
}

/// Puts the values of `set` over `params`; "a.b=1" names a field of a field. Those that a fit itself decides, `decided`, are no settings. What
/// the user knows them by begins with `prefix`.
///
/// # Errors
/// If a name is unknown or decided, or a value cannot be read.
pub fn apply<P: Serialize + DeserializeOwned>(
    set: &[(String, String)],
    mut params: P,
    decided: &[&str],
    prefix: &str,
) -> Result<P> {
    for (name, text) in set {
        let value = serde_json::to_value(&params).map_err(|e| Error::Setting(e.to_string()))?;
        let before = find(&value, name, decided, prefix)?;
        params = put(&value, before, name, text).map_err(|expected| {
            refused(prefix, name, &format!(": '{text}' is not what it takes: {expected}"))
        })?;
    }
    Ok(params)
}

fn refused(prefix: &str, name: &str, why: &dyn Display) -> Error {
    Error::Setting(format!("parameter '{prefix}{name}'{why}"))
}

/// The value called `name` in `params`.
fn find<'a>(params: &'a Value, name: &str, decided: &[&str], prefix: &str) -> Result<&'a Value> {
    let refused = |why: &dyn Display| refused(prefix, name, why);
    if decided.contains(&name) {
        return Err(refused(
            &" cannot be set: it follows from the images, the network and the other settings",
        ));
    }
    let mut place = params;
    let mut above = String::new();
    for part in name.split('.') {
        if !place.is_object() {
            let whole = above.trim_end_matches('.');
            return Err(refused(&format!(
                ": {prefix}{whole} has no parts, set all of it, such as {prefix}{whole}={place}"
            )));
        }
        place = place.get(part).ok_or_else(|| {
            let known = parts(place, &above, decided, prefix);
            Error::Setting(format!("unknown parameter '{prefix}{name}'; there are: {known}"))
        })?;
        above = format!("{above}{part}.");
    }
    if place.is_object() {
        let parts = parts(place, &above, decided, prefix);
        return Err(refused(&format!(" is several, of which one is set at a time: {parts}")));
    }
    Ok(place)
}

/// The parameters with `text` in the place of the value `before`, called `name`; or what is wrong with it.
fn put<P: DeserializeOwned>(params: &Value, before: &Value, name: &str, text: &str) -> Result<P, String> {
    let with = |candidate: Value| {
        let mut whole = params.clone();
        if let Some(place) = whole.pointer_mut(&format!("/{}", name.replace('.', "/"))) {
            *place = candidate;
        }
        serde_json::from_value::<P>(whole)
    };
    let value = match serde_json::from_str::<Value>(text) {
        Ok(value) if value.is_string() || !before.is_string() => Some(value),
        // A word needs no quotes.
        _ => before.is_string().then(|| Value::String(text.into())),
    };
    match value.map(&with) {
        Some(Ok(params)) => Ok(params),
        Some(Err(e)) if before.is_string() || before.is_array() => Err(e.to_string()),
        _ => Err(format!("expected {}", kind(before, |candidate| with(candidate).is_ok()))),
    }
}

/// The settings in `place` by their whole names; `NAME` stands for those of a group.
fn parts(place: &Value, above: &str, decided: &[&str], prefix: &str) -> String {
    let fields = place.as_object().into_iter().flatten();
    let settable = fields.filter(|(field, _)| !decided.contains(&format!("{above}{field}").as_str()));
    let one = |(field, value): (&String, &Value)| {
        format!("{prefix}{above}{field}{}", if value.is_object() { ".NAME" } else { "" })
    };
    settable.map(one).collect::<Vec<_>>().join(", ")
}

/// What a parameter takes, in words.
fn kind(before: &Value, accepts: impl Fn(Value) -> bool) -> String {
    match before {
        Value::Bool(_) => "true or false".into(),
        Value::Number(_) | Value::Null => {
            let kind = if accepts(json!(0.5)) { "a number" } else { "a whole number" };
            let example = if before.is_null() { String::new() } else { format!(", such as {before}") };
            format!("{kind}{example}{}", if accepts(Value::Null) { ", or null" } else { "" })
        }
        _ => format!("something like {before}"),
    }
}
