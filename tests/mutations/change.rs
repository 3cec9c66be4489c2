//! Changes of a text: letters, lines, blocks of lines, names, expressions.

use fastrand::Rng;

use super::structure;

/// What means something in YAML, in expressions or to an editor.
const MARKS: [&str; 41] = [
    ": ", ":", "- ", "#", " #", "{", "}", "[", "]", "&a ", "*a", "!x ", "|", ">-", "'", "\"", "%", "@", "`",
    "? ", ", ", "\t", "${{", "}}", "${{ ", " }}", "\n---\n", "\n...\n", "<<: ", "\r\n", "\r", "\u{feff}",
    "\u{85}", "\0", "\u{2028}", "\\", "\n", "  ", "~", "null", "1e999",
];

const LETTERS: [&str; 9] = ["ä", "é", "漢字", "😀", "e\u{301}", "\u{202e}", "\u{a0}", "ﬀ", "🇩🇪"];

/// Expressions that read a name, which stands as `NAME`, in every place that an expression has.
const READS: [&str; 27] = [
    "NAME",
    "inputs.NAME",
    "inputs[\"NAME\"]",
    "inputs?.NAME",
    "steps.NAME.outputs.NAME",
    "steps.NAME.status",
    "steps[\"NAME\"].items",
    "run.NAME",
    "[1].map(|v| inputs.NAME)",
    "[1].map(|v| v + NAME)",
    "[1].map(|NAME| NAME)",
    "[1].map(|v| [2].map(|w| steps.NAME.outputs.NAME))",
    "[1].some(|v| steps.NAME.status == \"failed\")",
    "[1].reduce(|sum, x| sum + x + inputs.NAME, 0)",
    "[1].filter(|v| v != NAME && inputs.NAME)",
    "[[1].map(|v| v), v]",
    "`a ${NAME} b ${inputs.NAME}`",
    "#{ NAME: inputs.NAME }",
    "if inputs.NAME { 1 } else { NAME }",
    "switch 1 { 1 => inputs.NAME, _ => NAME }",
    "inputs.NAME ?? steps.NAME.outputs.NAME",
    "succeeded(\"NAME\") && inputs.NAME",
    "failed(\"NAME\")",
    "[1].some(|v| skipped(\"NAME\"))",
    "NAME(inputs.NAME)",
    "inputs.NAME.NAME.NAME",
    "-inputs.NAME[NAME]",
];

/// One change of a text.
type Change = fn(&str, &mut Rng) -> String;

const CHANGES: [Change; 17] = [
    cut,
    repeat,
    swap,
    mark,
    mark,
    letter,
    truncate,
    line,
    block,
    block,
    values,
    rename_one,
    rename_one,
    rename_all,
    read,
    read,
    structure::change,
];

/// The text after one to three changes, most often one.
pub(super) fn change(text: &str, rng: &mut Rng) -> String {
    (0..[1, 1, 1, 2, 3][rng.usize(..5)])
        .fold(text.to_owned(), |text, _| CHANGES[rng.usize(..CHANGES.len())](&text, rng))
}

/// A place between two letters.
fn place(text: &str, rng: &mut Rng) -> usize {
    let mut at = rng.usize(..=text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A stretch of few letters.
fn stretch(text: &str, rng: &mut Rng) -> (usize, usize) {
    let start = place(text, rng);
    let letters = rng.usize(1..20);
    let end = text[start..].char_indices().nth(letters).map_or(text.len(), |(at, _)| start + at);
    (start, end)
}

fn cut(text: &str, rng: &mut Rng) -> String {
    let (start, end) = stretch(text, rng);
    format!("{}{}", &text[..start], &text[end..])
}

fn repeat(text: &str, rng: &mut Rng) -> String {
    let (start, end) = stretch(text, rng);
    format!("{}{}", &text[..end], &text[start..])
}

fn swap(text: &str, rng: &mut Rng) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    if letters.len() > 1 {
        let at = rng.usize(1..letters.len());
        letters.swap(at - 1, at);
    }
    letters.into_iter().collect()
}

fn insert(text: &str, what: &str, rng: &mut Rng) -> String {
    let at = place(text, rng);
    format!("{}{what}{}", &text[..at], &text[at..])
}

fn mark(text: &str, rng: &mut Rng) -> String {
    insert(text, MARKS[rng.usize(..MARKS.len())], rng)
}

fn letter(text: &str, rng: &mut Rng) -> String {
    insert(text, LETTERS[rng.usize(..LETTERS.len())], rng)
}

fn truncate(text: &str, rng: &mut Rng) -> String {
    text[..place(text, rng)].to_owned()
}

/// A line goes, comes twice, or stands more to the right or left.
fn line(text: &str, rng: &mut Rng) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return String::new();
    }
    let at = rng.usize(..lines.len());
    match rng.u8(..4) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => lines[at].insert_str(0, if rng.bool() { "  " } else { " " }),
        _ => lines[at] = lines[at].strip_prefix(' ').unwrap_or(&lines[at]).to_owned(),
    }
    lines.join("\n") + "\n"
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// A line and all that stand below it.
fn below(lines: &[String], at: usize) -> usize {
    let deeper = |line: &String| line.trim().is_empty() || depth(line) > depth(&lines[at]);
    at + 1 + lines[at + 1..].iter().take_while(|line| deeper(line)).count()
}

/// A line with all below it goes, or also stands elsewhere, at the depth of its new neighbour.
fn block(text: &str, rng: &mut Rng) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return String::new();
    }
    let at = rng.usize(..lines.len());
    let moved: Vec<String> = lines[at..below(&lines, at)].to_vec();
    if rng.bool() {
        lines.drain(at..at + moved.len());
    }
    if rng.bool() {
        let to = rng.usize(..=lines.len());
        let (from, onto) = (depth(&moved[0]), lines.get(to).map_or(0, |line| depth(line)));
        let shifted =
            moved.iter().map(|line| format!("{:onto$}{}", "", line.get(from..).unwrap_or_default()));
        lines.splice(to..to, shifted.collect::<Vec<_>>());
    }
    lines.join("\n") + "\n"
}

/// Two lines have each other's values.
fn values(text: &str, rng: &mut Rng) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let valued: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains(": ")).collect();
    if valued.is_empty() {
        return text.to_owned();
    }
    let [a, b] = [(); 2].map(|()| valued[rng.usize(..valued.len())]);
    let split = |line: &str| line.split_once(": ").map(|(key, value)| (key.to_owned(), value.to_owned()));
    if let (Some((key_a, value_a)), Some((key_b, value_b))) = (split(&lines[a]), split(&lines[b])) {
        lines[a] = format!("{key_a}: {value_b}");
        lines[b] = format!("{key_b}: {value_a}");
    }
    lines.join("\n") + "\n"
}

/// Where the names of a text stand.
fn names(text: &str) -> Vec<(usize, &str)> {
    let part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text
        .split(|letter| !part(letter))
        .filter(|word| word.starts_with(|it: char| it.is_ascii_lowercase()));
    words.map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word)).collect()
}

/// Another name: one of the text, or the same with a letter more or less.
fn other_name(text: &str, name: &str, rng: &mut Rng) -> String {
    let all = names(text);
    match rng.u8(..4) {
        0 => format!("{name}{}", rng.lowercase()),
        1 => name[1..].to_owned(),
        _ => all[rng.usize(..all.len())].1.to_owned(),
    }
}

fn rename_one(text: &str, rng: &mut Rng) -> String {
    let all = names(text);
    if all.is_empty() {
        return text.to_owned();
    }
    let (at, name) = all[rng.usize(..all.len())];
    format!("{}{}{}", &text[..at], other_name(text, name, rng), &text[at + name.len()..])
}

/// A name is another one wherever it begins a line, and stays as it is elsewhere.
fn rename_all(text: &str, rng: &mut Rng) -> String {
    let all = names(text);
    if all.is_empty() {
        return text.to_owned();
    }
    let (_, name) = all[rng.usize(..all.len())];
    let other = other_name(text, name, rng);
    let rename = |line: &str| match line.trim_start().strip_prefix(name) {
        Some(rest) if rest.starts_with(':') => format!("{:depth$}{other}{rest}\n", "", depth = depth(line)),
        _ => format!("{line}\n"),
    };
    text.lines().map(rename).collect()
}

/// An expression reads something else, or a new one stands where another stood.
fn read(text: &str, rng: &mut Rng) -> String {
    let opens: Vec<usize> = text.match_indices("${{").map(|(at, _)| at).collect();
    let all = names(text);
    if opens.is_empty() || all.is_empty() {
        return text.to_owned();
    }
    let open = opens[rng.usize(..opens.len())] + 3;
    let close = text[open..].find("}}").map_or(text.len(), |at| open + at);
    let mut reads = READS[rng.usize(..READS.len())].to_owned();
    while reads.contains("NAME") {
        reads = reads.replacen("NAME", all[rng.usize(..all.len())].1, 1);
    }
    let (before, inside, behind) = (&text[..open], text[open..close].trim(), &text[close..]);
    match rng.u8(..3) {
        0 => format!("{before} {inside} + {reads} {behind}"),
        _ => format!("{before} {reads} {behind}"),
    }
}
