use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn laid_out(text: &str) -> String {
    lay_out(&Source::new("t.yaml", text)).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// Laid out as expected, and then left alone.
fn becomes(text: &str, expected: &str) {
    assert_eq!(laid_out(text), expected, "from:\n{text}");
    assert_eq!(laid_out(expected), expected);
}

/// A level is two columns, whatever it was, and a list below a key is a level.
#[test]
fn levels_are_two_columns() {
    becomes(
        "a:\n      b:\n       - c\n       -   d: 1\n           e: 2\n",
        "a:\n  b:\n    - c\n    - d: 1\n      e: 2\n",
    );
    becomes("a:\n- b\n- c:\n  - d\nf: g\n", "a:\n  - b\n  - c:\n      - d\nf: g\n");
    becomes("a:\n - - b\n   - c\n -\n    d: e\n", "a:\n  - - b\n    - c\n  -\n    d: e\n");
    becomes("   a: 1\n   b: 2\n", "a: 1\nb: 2\n");
    becomes("a:\n    &x\n    b: 1\nc: *x\n", "a:\n  &x\n  b: 1\nc: *x\n");
}

/// One space, where there is any.
#[test]
fn spaces_are_single() {
    becomes("a:    {b:   1,c : [ x,y ],   'd':{}}   \n", "a: { b: 1, c: [x, y], 'd': {} }\n");
    becomes("{\"a\":1,\"b\":[{\"c\":null}]}", "{ \"a\": 1, \"b\": [{ \"c\": null }] }\n");
    becomes("a: &x   b\nc: [*x   ,d ]\n", "a: &x b\nc: [*x, d]\n");
}

/// Brackets over several lines: two levels in, as what is inside a value, and back one for the closing one.
#[test]
fn brackets_may_take_several_lines() {
    becomes(
        "a: [\n b,\n\n\n\n # why\n {c: 1,\n d: 2}\n]\n",
        "a: [\n    b,\n\n    # why\n    { c: 1,\n      d: 2 }\n  ]\n",
    );
    becomes("{\n\"a\": [\n1\n]\n}\n", "{\n  \"a\": [\n    1\n  ]\n}\n");
}

/// Values over several lines move with what they belong to; their words stay.
#[test]
fn long_values_move_along() {
    becomes(
        "a:\n    b: |\n          x\n            y\n\n          z   \n    c: 1\n",
        "a:\n  b: |\n    x\n      y\n\n    z   \n  c: 1\n",
    );
    becomes(
        "a:\n    - b: >-\n          x\n          y\n\n\n\nc: 1\n",
        "a:\n  - b: >-\n      x\n      y\n\nc: 1\n",
    );
    becomes("a: |+\n    x\n\n\n\nb: 1\n", "a: |+\n  x\n\n\n\nb: 1\n");
    becomes("a: |+\n    x\n\n\n", "a: |+\n  x\n\n\n");
    becomes("a:\n    b: |2   # note\n        x\n       y\n", "a:\n  b: |2   # note\n      x\n     y\n");
    becomes("a: x\n      y\n\n      z\nb: \"p\n  q\"\n", "a: x\n  y\n\n  z\nb: \"p\n  q\"\n");
    becomes("a: |\n\n\nb: 1\n", "a: |\n\nb: 1\n");
}

/// Every comment stays: behind a value in its column, on a line of its own with what follows or what it closes.
#[test]
fn comments_keep_their_places() {
    becomes("a:   1     # one\nbcd: 2     # two\n", "a: 1       # one\nbcd: 2     # two\n");
    becomes(
        "a:\n # of b\n      b: 1\n      # end of a\n# of c\nc: 2\n  # last   \n",
        "a:\n  # of b\n  b: 1\n  # end of a\n# of c\nc: 2\n# last\n",
    );
    becomes("a: 1      # one\n          # goes on\nb: 2\n", "a: 1      # one\n          # goes on\nb: 2\n");
    becomes(
        "a: # x\n    b: |   # y\n        #no comment\n      # z\n    c: 1\n",
        "a: # x\n  b: |   # y\n    #no comment\n  # z\n  c: 1\n",
    );
    becomes("a:\n- b\n# of c\n- c\n", "a:\n  - b\n  # of c\n  - c\n");
}

/// One empty line at most, none at the beginning, and one kind of line break.
#[test]
fn empty_lines_are_single() {
    becomes("\n\n\na: 1\r\n\r\n\r\n\r\nb: |\r\n   x\r\n   y\r\n\n\n", "a: 1\n\nb: |\n  x\n  y\n");
    becomes("# head\n\n\n\na: 1", "# head\n\na: 1\n");
    becomes("\u{feff}---\na: 1\n...\n", "---\na: 1\n...\n");
}

/// What an expression says, how a value is quoted and in which order keys stand is the author's.
#[test]
fn words_are_the_authors() {
    becomes(
        "b: ${{inputs.x+1}}\na: { c: \"${{  y }}\", d: 'e' }\n",
        "b: ${{inputs.x+1}}\na: { c: \"${{  y }}\", d: 'e' }\n",
    );
}

/// A broken file is told about as everywhere.
#[test]
fn a_broken_file_is_left_alone() {
    let Err(NotLaidOut::Mistakes(found)) = lay_out(&Source::new("t.yaml", "a: [1\n")) else {
        panic!("broken")
    };
    assert_eq!(found.len(), 1);
}

/// Choices, one after the other and round again: small numbers are plain layout, so that a counterexample shrinks to it.
struct Tape<'a> {
    bytes: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    /// Behind a block of text the rest of the line, and a comment, would be a part of it.
    after_block: bool,
}

impl Tape<'_> {
    fn upto(&mut self, most: usize) -> usize {
        usize::from(*self.bytes.next().unwrap()) % (most + 1)
    }

    fn spaces(&mut self, least: usize, most: usize) -> String {
        " ".repeat(least + self.upto(most - least))
    }

    /// The end of a line, and what may stand between it and the next one.
    fn line_end(&mut self) -> String {
        if std::mem::take(&mut self.after_block) {
            return "\n".to_owned();
        }
        let mut text = ["", "  ", "   # behind", " #tight"][self.upto(3)].to_owned();
        text.push_str(["\n", "\r\n"][self.upto(1)]);
        for _ in 0..self.upto(2) {
            match self.upto(2) {
                0 => text.push('\n'),
                1 => text.push_str(&format!("{}# above{}\n", self.spaces(0, 9), self.spaces(0, 2))),
                _ => text.push_str("   \n"),
            }
        }
        text
    }
}

fn scalar(value: &Value, tape: &mut Tape<'_>) -> String {
    match value {
        Value::String(text) => match tape.upto(2) {
            0 => value.to_string(),
            1 => format!("'{}'", text.replace('\'', "''")),
            _ if text == "w" => text.clone(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

fn flow(value: &Value, tape: &mut Tape<'_>) -> String {
    let gap = |tape: &mut Tape<'_>| match tape.upto(5) {
        0 => " ".to_owned(),
        1 => format!("  # inside\n{:60}", ""),
        2 => format!("\n \n{:50}", ""),
        _ => String::new(),
    };
    match value {
        Value::Array(items) => {
            let items: Vec<String> =
                items.iter().map(|item| format!("{}{}{}", gap(tape), flow(item, tape), gap(tape))).collect();
            format!("[{}{}]", items.join(","), gap(tape))
        }
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{}{key}: {}{}{}", gap(tape), gap(tape), flow(value, tape), gap(tape))
            };
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(","))
        }
        other => scalar(other, tape),
    }
}

/// The value in its worst layout, behind a key or a dash whose block stands at `column`.
fn messy(value: &Value, column: usize, behind_dash: bool, tape: &mut Tape<'_>) -> String {
    match value {
        Value::Object(map) if !map.is_empty() && tape.upto(3) > 0 => {
            let space = 1 + tape.upto(4);
            let compact = behind_dash && tape.upto(1) == 0;
            let start = if compact { String::new() } else { tape.line_end() };
            let inner = column + space + usize::from(compact);
            let width = if compact { space } else { inner };
            start + &" ".repeat(width) + &entries(map, inner, tape)
        }
        Value::Array(items) if !items.is_empty() && tape.upto(3) > 0 => {
            let inner = column + usize::from(behind_dash) + tape.upto(3);
            let mut text = String::new();
            for item in items {
                text += &tape.line_end();
                text += &format!("{}-{}", " ".repeat(inner), messy(item, inner, true, tape));
            }
            text
        }
        Value::String(lines) if lines.contains('\n') && tape.upto(1) == 0 => {
            let inner = " ".repeat(column + 1 + tape.upto(4));
            let sign = [" |-", "   |-  # sign"][tape.upto(1)].to_owned();
            tape.after_block = true;
            lines.split('\n').fold(sign, |text, line| match line {
                "" => text + "\n",
                line => text + "\n" + &inner + line,
            })
        }
        Value::Object(_) | Value::Array(_) => tape.spaces(1, 3) + &flow(value, tape),
        other => tape.spaces(1, 3) + &scalar(other, tape),
    }
}

fn entries(map: &Map<String, Value>, column: usize, tape: &mut Tape<'_>) -> String {
    let mut text = String::new();
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 {
            text += &tape.line_end();
            text += &" ".repeat(column);
        }
        let key = [key.clone(), format!("'{key}'"), format!("\"{key}\" ")][tape.upto(2)].clone();
        text += &format!("{key}:{}", messy(value, column, false, tape));
    }
    text
}

fn values() -> impl Strategy<Value = Value> {
    let words = ["w", "w ${{ a.b + 1 }}", "#x", "- y", "a: b", "it's", "one\ntwo", "one\n\n  two\nthree", ""];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-e]{1,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// However a file was laid out: it says the same afterwards, has every comment, and stays as it is the second time.
    #[test]
    fn any_layout_becomes_one(value in values(), choices in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut tape = Tape { bytes: choices.iter().cycle(), after_block: false };
        let mut map = Map::new();
        map.insert("root".to_owned(), value);
        map.insert("last".to_owned(), json!(1));
        let column = tape.upto(3);
        let text = " ".repeat(column) + &entries(&map, column, &mut tape) + &tape.line_end();
        let parsed = Document::parse(&Source::new("t.yaml", &text));
        prop_assert!(parsed.is_ok(), "the test wrote no YAML:\n{text}");
        let once = lay_out(&Source::new("t.yaml", &text));
        prop_assert!(once.is_ok(), "{once:?} of:\n{text}");
        let once = once.unwrap();
        prop_assert_eq!(parsed.unwrap().root.to_json(), Document::parse(&Source::new("t.yaml", &once)).unwrap().root.to_json());
        prop_assert_eq!(once.matches("# ").count() , text.matches("# ").count());
        prop_assert_eq!(&laid_out(&once), &once);
    }
}
