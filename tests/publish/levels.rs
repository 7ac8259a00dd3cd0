//! What messages say of the level.

use super::*;

#[test]
fn a_message_tells_the_level_and_only_what_is_rejected_is_an_event() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&to(&path));
    let unknown = gstanomaly::meta::AnomalyMeta { warn: None, ..result(false, 7.0) };
    for (number, result) in
        (0..).zip([result(false, 4.0), result(false, 7.0), result(true, 12.0), result(false, 6.0), unknown])
    {
        line.push(judged(number, &result));
    }
    line.drain();
    let messages = read(&path);
    let told = |key: &str| messages.iter().map(|message| message[key].clone()).collect::<Vec<_>>();
    assert_eq!(told("level"), ["normal", "warn", "reject", "warn", "normal"]);
    assert_eq!(told("state"), ["update", "update", "enter", "leave", "update"]);
    assert_eq!(told("warn"), [json!(6.0), json!(6.0), json!(6.0), json!(6.0), Value::Null]);
    assert_eq!((&messages[3]["event"]["frames"], &messages[4]["event"]), (&json!(1), &Value::Null));
}
