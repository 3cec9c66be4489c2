//! A JSON value whose strings may hold `${{ }}`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::scan::{self, Piece};
use crate::value::to_text;
use crate::{Error, Expression, Reference, Scope};

/// A JSON value with expressions in its strings. A string that is one expression keeps the expression's type; an
/// expression inside text is written into it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Template {
    source: Value,
    node: Node,
}

#[derive(Debug, Clone)]
enum Node {
    Literal(Value),
    Whole(Expression),
    Text(Vec<Part>),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Expression { expression: Expression, offset: usize },
}

/// An expression of a template and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<'a> {
    /// JSON pointer of the string it stands in.
    pub pointer: String,
    /// How many bytes of that string come before the text that the expression was parsed from.
    pub offset: usize,
    /// Whether it is the string's whole value, and so keeps its type.
    pub whole: bool,
    /// The expression.
    pub expression: &'a Expression,
}

/// A template's value before everything that it reads is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partial {
    /// The value; a string that is not known stands in it as it is written.
    pub value: Value,
    /// JSON pointers of the strings that are not known, those that have no value included.
    pub unknown: Vec<String>,
    /// What has no value although all that it reads is known, by the JSON pointer of its string.
    pub failed: Vec<(String, Error)>,
}

impl Template {
    /// Reads every string of a JSON value.
    ///
    /// # Errors
    /// The first string that cannot be read; its position counts within that string. To find all mistakes, parse the
    /// strings one by one.
    pub fn parse(source: Value) -> Result<Self, Error> {
        let node = node_of(&source)?;
        Ok(Self { source, node })
    }

    /// The value as the author wrote it.
    #[must_use]
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Its value, expressions evaluated.
    ///
    /// # Errors
    /// The first expression that has no value, or cannot stand inside text.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, Error> {
        self.node.evaluate(scope)
    }

    /// Its value as far as it is known: expressions that `is_known` says no to are left as they are written, and so is the
    /// whole string around one.
    #[must_use]
    pub fn evaluate_known(&self, scope: &Scope, is_known: &dyn Fn(&Expression) -> bool) -> Partial {
        let mut partial = Partial::default();
        partial.value = self.node.evaluate_known(String::new(), scope, is_known, &mut partial);
        partial
    }

    /// Every expression in it, with its place.
    #[must_use]
    pub fn expressions(&self) -> Vec<Placed<'_>> {
        let mut found = Vec::new();
        self.node.collect(String::new(), &mut found);
        found
    }

    /// Everything its expressions read.
    #[must_use]
    pub fn references(&self) -> Vec<Reference> {
        self.expressions().iter().flat_map(|placed| placed.expression.references().to_vec()).collect()
    }
}

fn node_of(source: &Value) -> Result<Node, Error> {
    match source {
        Value::String(text) => node_of_text(text),
        Value::Array(items) => items.iter().map(node_of).collect::<Result<_, _>>().map(Node::List),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| Ok((key.clone(), node_of(value)?));
            entries.iter().map(entry).collect::<Result<_, _>>().map(Node::Map)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Node::Literal(source.clone())),
    }
}

fn node_of_text(text: &str) -> Result<Node, Error> {
    match scan::pieces(text)?.as_slice() {
        [] | [Piece::Literal(_)] => Ok(Node::Literal(Value::from(text))),
        [Piece::Expression(_)] => Expression::parse(text).map(Node::Whole),
        pieces => pieces.iter().map(|piece| part_of(text, piece)).collect::<Result<_, _>>().map(Node::Text),
    }
}

fn part_of(text: &str, piece: &Piece) -> Result<Part, Error> {
    match piece {
        Piece::Literal(at) => Ok(Part::Literal(text[at.clone()].to_owned())),
        Piece::Expression(at) => Expression::parse(&text[at.clone()])
            .map(|expression| Part::Expression { expression, offset: at.start })
            .map_err(|error| error.shifted(at.start)),
    }
}

impl Node {
    fn evaluate(&self, scope: &Scope) -> Result<Value, Error> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Whole(expression) => expression.evaluate(scope),
            Self::Text(parts) => parts
                .iter()
                .map(|part| part.evaluate(scope))
                .collect::<Result<String, _>>()
                .map(Value::String),
            Self::List(items) => {
                items.iter().map(|item| item.evaluate(scope)).collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Map(entries) => {
                let entry = |(key, node): &(String, Self)| Ok((key.clone(), node.evaluate(scope)?));
                entries.iter().map(entry).collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        }
    }

    fn evaluate_known(
        &self,
        pointer: String,
        scope: &Scope,
        is_known: &dyn Fn(&Expression) -> bool,
        partial: &mut Partial,
    ) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Whole(_) | Self::Text(_) => self.evaluate_string(pointer, scope, is_known, partial),
            Self::List(items) => items
                .iter()
                .zip(0..)
                .map(|(item, index)| item.evaluate_known(below(&pointer, index), scope, is_known, partial))
                .collect(),
            Self::Map(entries) => {
                let mut entry = |(key, node): &(String, Self)| {
                    let value =
                        node.evaluate_known(format!("{pointer}/{}", token(key)), scope, is_known, partial);
                    (key.clone(), value)
                };
                Value::Object(entries.iter().map(&mut entry).collect())
            }
        }
    }

    /// A string's value, or the string as it is written.
    fn evaluate_string(
        &self,
        pointer: String,
        scope: &Scope,
        is_known: &dyn Fn(&Expression) -> bool,
        partial: &mut Partial,
    ) -> Value {
        if self.expressions().all(is_known) {
            match self.evaluate(scope) {
                Ok(value) => return value,
                Err(error) => partial.failed.push((pointer.clone(), error)),
            }
        }
        partial.unknown.push(pointer);
        Value::String(self.written())
    }

    /// The expressions of a string.
    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let (whole, parts) = match self {
            Self::Whole(expression) => (Some(expression), [].as_slice()),
            Self::Text(parts) => (None, parts.as_slice()),
            Self::Literal(_) | Self::List(_) | Self::Map(_) => (None, [].as_slice()),
        };
        whole.into_iter().chain(parts.iter().filter_map(Part::expression))
    }

    /// A string as the author wrote it.
    fn written(&self) -> String {
        match self {
            Self::Whole(expression) => expression.as_str().to_owned(),
            Self::Text(parts) => parts.iter().map(Part::written).collect(),
            Self::Literal(_) | Self::List(_) | Self::Map(_) => String::new(),
        }
    }

    fn collect<'a>(&'a self, pointer: String, found: &mut Vec<Placed<'a>>) {
        match self {
            Self::Literal(_) => {}
            Self::Whole(expression) => found.push(Placed { pointer, offset: 0, whole: true, expression }),
            Self::Text(parts) => found.extend(parts.iter().filter_map(|part| part.placed(&pointer))),
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.collect(below(&pointer, index), found);
                }
            }
            Self::Map(entries) => {
                for (key, node) in entries {
                    node.collect(format!("{pointer}/{}", token(key)), found);
                }
            }
        }
    }
}

/// The pointer of a list's item.
fn below(pointer: &str, index: usize) -> String {
    format!("{pointer}/{index}")
}

/// A key as it stands in a JSON pointer.
fn token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

impl Part {
    fn expression(&self) -> Option<&Expression> {
        match self {
            Self::Literal(_) => None,
            Self::Expression { expression, .. } => Some(expression),
        }
    }

    fn written(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            Self::Expression { expression, .. } => expression.as_str(),
        }
    }

    fn evaluate(&self, scope: &Scope) -> Result<String, Error> {
        match self {
            Self::Literal(text) => Ok(text.clone()),
            Self::Expression { expression, .. } => to_text(&expression.evaluate(scope)?)
                .map_err(|found| Error::NotText { expression: expression.as_str().to_owned(), found }),
        }
    }

    fn placed(&self, pointer: &str) -> Option<Placed<'_>> {
        match self {
            Self::Literal(_) => None,
            Self::Expression { expression, offset } => {
                Some(Placed { pointer: pointer.to_owned(), offset: *offset, whole: false, expression })
            }
        }
    }
}

impl TryFrom<Value> for Template {
    type Error = Error;

    fn try_from(source: Value) -> Result<Self, Error> {
        Self::parse(source)
    }
}

impl From<Template> for Value {
    fn from(template: Template) -> Self {
        template.source
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        let mut scope = Scope::default();
        scope.inputs.insert("present".into(), json!(0.5));
        scope.vars.insert("vm".into(), json!("vm-a"));
        scope.run.insert("id".into(), json!("run-1"));
        scope
    }

    /// A whole-value expression keeps its type at any depth, one inside text becomes text, the rest stays as it is.
    #[test]
    fn values_keep_their_types() {
        let source = json!({"until": {"present": "${{ inputs.present }}"}, "to": ["r/${{ run.id }}-${{ 1 + 1 }}.html", 7]});
        let template = Template::parse(source.clone()).unwrap();
        let expected = json!({"until": {"present": 0.5}, "to": ["r/run-1-2.html", 7]});
        assert_eq!(template.evaluate(&scope()).unwrap(), expected);
        assert_eq!(serde_json::to_value(&template).unwrap(), source);
        assert_eq!(serde_json::from_value::<Template>(source).unwrap(), template);
    }

    /// Expressions are listed with the pointer of their string and their offset in it.
    #[test]
    fn expressions_are_listed_with_their_place() {
        let template = Template::parse(json!({"a/b": ["x ${{ vm }}"]})).unwrap();
        let [placed] = template.expressions().try_into().unwrap_or_else(|_| panic!("one expression"));
        assert_eq!((placed.pointer.as_str(), placed.offset, placed.whole), ("/a~1b/0", 2, false));
        assert_eq!(template.references()[0].root, crate::Root::Variable("vm".into()));
    }

    /// What is known is worked out, a string with something unknown stays as it is written, and what has no value is told.
    #[test]
    fn what_is_known_is_worked_out() {
        let source = json!({"a": "${{ inputs.present }}", "b/c": ["x ${{ vm }}-${{ run.id }}", 7],
            "d": "${{ inputs.nothing }}", "e": "is ${{ [1] }}"});
        let template = Template::parse(source).unwrap();
        let inputs_only =
            |one: &Expression| one.references().iter().all(|read| read.root == crate::Root::Inputs);
        let partial = template.evaluate_known(&scope(), &inputs_only);
        let expected = json!({"a": 0.5, "b/c": ["x ${{ vm }}-${{ run.id }}", 7],
            "d": "${{ inputs.nothing }}", "e": "is ${{ [1] }}"});
        assert_eq!(partial.value, expected);
        assert_eq!(partial.unknown, ["/b~1c/0", "/d", "/e"]);
        let failed: Vec<&str> = partial.failed.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(failed, ["/d", "/e"]);
    }

    /// A list inside text is refused, and a mistake is placed within its string.
    #[test]
    fn lists_do_not_stand_inside_text() {
        let list = Template::parse(json!("x ${{ [1] }}")).unwrap();
        assert!(matches!(list.evaluate(&scope()), Err(Error::NotText { found: "a list", .. })));
        let error = Template::parse(json!("abc ${{ 1 + }}")).unwrap_err();
        assert!(error.at().unwrap().start > 10, "{error:?}");
    }
}
