//! The words of an expression, read without a word of the code that is under test.

/// A word of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Name(String),
    Text(String),
    /// A number, whichever.
    Number,
    /// Brackets, operators, commas; `?.` is `.` and `?[` is `[`.
    Sign(String),
}

impl Word {
    pub(super) fn is(&self, sign: &str) -> bool {
        matches!(self, Self::Sign(it) if it == sign)
    }
}

/// The insides of every `${{ }}` of a text.
pub(super) fn expressions(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("${{") {
        let inside = &rest[open + 3..];
        // Longest first: an end inside a text or a map of the expression is not its end.
        let end = end_of(inside);
        found.push(&inside[..end]);
        rest = inside.get(end + 2..).unwrap_or_default();
    }
    found
}

/// Where the `}}` stands that closes what begins here.
fn end_of(inside: &str) -> usize {
    let mut depth = 0_usize;
    let mut letters = inside.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' | '\'' | '`' => {
                while let Some((_, other)) = letters.next() {
                    match other {
                        '\\' if letter != '`' => drop(letters.next()),
                        other if other == letter => break,
                        _ => {}
                    }
                }
            }
            '{' | '(' | '[' => depth += 1,
            '}' if depth == 0 => return at,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    inside.len()
}

/// The words of an expression, in order.
pub(super) fn words(text: &str) -> Vec<Word> {
    let letters: Vec<char> = text.chars().collect();
    let mut at = 0;
    let mut words = Vec::new();
    while at < letters.len() {
        at = word(&letters, at, &mut words);
    }
    words
}

/// Reads the word at a place; where the next one is.
fn word(letters: &[char], at: usize, words: &mut Vec<Word>) -> usize {
    let follows =
        |sign: &str| sign.chars().zip(&letters[at..]).filter(|(a, b)| a == *b).count() == sign.len();
    let run = |from: usize, part: &dyn Fn(char) -> bool| {
        from + letters[from..].iter().take_while(|letter| part(**letter)).count()
    };
    let of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    match letters[at] {
        letter if letter.is_whitespace() => at + 1,
        '/' if follows("//") => run(at, &|letter| letter != '\n'),
        '/' if follows("/*") => past_comment(letters, at),
        letter if letter.is_ascii_digit() => {
            let mut end = run(at, &of_name);
            if letters.get(end) == Some(&'.') && letters.get(end + 1).is_some_and(char::is_ascii_digit) {
                end = run(end + 1, &of_name);
            }
            words.push(Word::Number);
            end
        }
        letter if of_name(letter) => {
            let end = run(at, &of_name);
            words.push(Word::Name(letters[at..end].iter().collect()));
            end
        }
        '`' => interpolated(letters, at + 1, words),
        quote @ ('"' | '\'') => quoted(letters, at + 1, quote, words),
        '?' if follows("?.") || follows("?[") => at + 1,
        letter => {
            let sign = ["||", "&&", "??", "=>", "..", "::"].into_iter().find(|sign| follows(sign));
            let sign = sign.map_or_else(|| letter.to_string(), str::to_owned);
            let end = at + sign.chars().count();
            words.push(Word::Sign(sign));
            end
        }
    }
}

/// Comments of the language stand inside each other.
fn past_comment(letters: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < letters.len() {
        match (letters[at], letters.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) if depth == 1 => return at + 2,
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

fn quoted(letters: &[char], from: usize, quote: char, words: &mut Vec<Word>) -> usize {
    let mut text = String::new();
    let mut at = from;
    while at < letters.len() && letters[at] != quote {
        at += usize::from(letters[at] == '\\');
        text.extend(letters.get(at));
        at += 1;
    }
    words.push(Word::Text(text));
    at + 1
}

/// A text in backticks: what stands in its `${ }` are words like all others.
fn interpolated(letters: &[char], from: usize, words: &mut Vec<Word>) -> usize {
    let mut at = from;
    while at < letters.len() && letters[at] != '`' {
        if letters[at] == '$' && letters.get(at + 1) == Some(&'{') {
            words.push(Word::Sign("(".to_owned()));
            at += 2;
            let mut depth = 0_usize;
            while at < letters.len() && (depth > 0 || letters[at] != '}') {
                let before = words.len();
                at = word(letters, at, words);
                let signs = &words[before..];
                depth += signs.iter().filter(|sign| sign.is("{")).count();
                depth -= signs.iter().filter(|sign| sign.is("}")).count().min(depth);
            }
            words.push(Word::Sign(")".to_owned()));
        }
        at += 1;
    }
    words.push(Word::Text(String::new()));
    at + 1
}

/// Names, texts and signs are told apart also where they stand inside each other.
#[test]
fn words_are_told_apart() {
    let names = |text: &str| -> Vec<String> {
        let name = |word: Word| match word {
            Word::Name(name) => Some(name),
            Word::Text(_) | Word::Number | Word::Sign(_) => None,
        };
        words(text).into_iter().filter_map(name).collect()
    };
    assert_eq!(names("a.b(\"c \\\" d\") + 1.5 + 2.e() // f"), ["a", "b", "e"]);
    assert_eq!(names("`a ${b + `${c}`} d` + /* e /* f */ g */ h"), ["b", "c", "h"]);
    assert_eq!(expressions("x ${{ \"}}\" }} y ${{ #{a: #{b: 1}} }}"), [" \"}}\" ", " #{a: #{b: 1}} "]);
}
