//! Text in a picture: how wide it is, where it is broken, and how it is written in XML.

use super::place::Size;

/// Most columns of a line.
const COLUMNS_MAX: usize = 46;
/// A column's width: letters of 12 units in fonts of one width take 7.2 of them and a little.
const COLUMN: i64 = 8;
/// A line's height.
pub(super) const LINE: i64 = 16;

/// The lines, none of them wider than a box may be.
pub(super) fn wrapped(lines: &[String]) -> Vec<String> {
    lines.iter().flat_map(|line| broken(line)).collect()
}

/// How much room lines take.
pub(super) fn size(lines: &[String]) -> Size {
    let columns = lines.iter().map(|line| columns(line)).max().unwrap_or_default();
    Size { width: long(columns) * COLUMN, height: long(lines.len()) * LINE }
}

/// Text between tags or in an attribute. What XML cannot hold is shown as a replacement character.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' => safe.push('\n'),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

fn columns(line: &str) -> usize {
    line.chars().map(columns_of).sum()
}

/// Letters of other scripts may be as wide as two.
fn columns_of(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
}

/// A line, broken between words where that is possible, with what follows set in.
fn broken(line: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for word in line.split_inclusive(' ') {
        if columns(&current) + columns(word.trim_end()) > COLUMNS_MAX && !current.trim().is_empty() {
            lines.push(std::mem::replace(&mut current, "  ".to_owned()));
        }
        for c in word.chars() {
            if c != ' ' && columns(&current) + columns_of(c) > COLUMNS_MAX {
                lines.push(std::mem::replace(&mut current, "  ".to_owned()));
            }
            current.push(c);
        }
    }
    lines.push(current);
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

fn long(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No line is wider than a box may be, no letter is lost, and text that fits stays as it is.
    #[test]
    fn lines_are_broken_between_words_and_else_anywhere() {
        let long = format!("if some words and {} and more of them at the end", "x".repeat(70));
        let lines = wrapped(&[long.clone(), "short  text".to_owned()]);
        assert!(lines.iter().all(|line| columns(line) <= COLUMNS_MAX), "{lines:#?}");
        let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
        assert_eq!(letters(&lines.concat()), letters(&format!("{long}short text")));
        assert_eq!(lines.last().map(String::as_str), Some("short  text"));
    }

    /// Nothing that means something in XML is left, nor what it cannot hold.
    #[test]
    fn what_means_something_is_escaped() {
        assert_eq!(
            escaped("<a b=\"c\"> & \u{7}\u{ffff}"),
            "&lt;a b=&quot;c&quot;&gt; &amp; \u{fffd}\u{fffd}"
        );
    }
}
