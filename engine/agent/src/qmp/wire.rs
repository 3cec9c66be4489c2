//! One line of QMP: what a message from QEMU is.

use serde_json::Value;

use super::event::Event;

/// A message from QEMU.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// The first line of a connection.
    Greeting,
    /// The answer to the command with this id.
    Answer { id: u64, result: Result<Value, Refusal> },
    /// Something happened.
    Event(Event),
    /// Anything else; it is dropped.
    Other,
}

/// QEMU's refusal of a command.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub(super) class: String,
    pub(super) description: String,
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Reads a line; whatever does not make sense is [`Message::Other`].
pub(super) fn read(line: &[u8]) -> Message {
    let Ok(value) = serde_json::from_slice::<Value>(line) else { return Message::Other };
    if value.get("QMP").is_some() {
        return Message::Greeting;
    }
    if value["event"].is_string() {
        return Message::Event(event(&value));
    }
    let Some(id) = value["id"].as_u64() else { return Message::Other };
    if let Some(result) = value.get("return") {
        return Message::Answer { id, result: Ok(result.clone()) };
    }
    match value.get("error") {
        Some(error) => {
            let refusal = Refusal { class: text(error, "class"), description: text(error, "desc") };
            Message::Answer { id, result: Err(refusal) }
        }
        None => Message::Other,
    }
}

fn event(value: &Value) -> Event {
    let at = &value["timestamp"];
    let seconds = at["seconds"].as_u64().unwrap_or_default();
    let micros = at["microseconds"].as_u64().unwrap_or_default();
    Event {
        name: text(value, "event"),
        data: value.get("data").cloned().unwrap_or(Value::Null),
        at_unix_us: seconds.saturating_mul(1_000_000).saturating_add(micros),
    }
}

/// Writes a command as a line.
pub(super) fn write(id: u64, command: &str, arguments: Value) -> Vec<u8> {
    let mut message = serde_json::json!({ "execute": command, "id": id });
    if !arguments.is_null() {
        message["arguments"] = arguments;
    }
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers, refusals, events and the greeting are told apart, and nonsense is dropped rather than an error.
    #[test]
    fn every_kind_of_line_is_read() {
        assert_eq!(read(br#"{"QMP": {}}"#), Message::Greeting);
        assert_eq!(read(br#"{"return": 5, "id": 7}"#), Message::Answer { id: 7, result: Ok(Value::from(5)) });
        let refusal = Refusal { class: "GenericError".into(), description: "no".into() };
        let line = br#"{"error": {"class": "GenericError", "desc": "no"}, "id": 7}"#;
        assert_eq!(read(line), Message::Answer { id: 7, result: Err(refusal) });
        let line = br#"{"event": "NEW_IN_11", "timestamp": {"seconds": 2, "microseconds": 3}}"#;
        let event = Event { name: "NEW_IN_11".into(), data: Value::Null, at_unix_us: 2_000_003 };
        assert_eq!(read(line), Message::Event(event));
        assert_eq!(read(b"]["), Message::Other);
        assert_eq!(read(br#"{"return": 5}"#), Message::Other);
    }
}
