//! Operators whose sides can never mean anything together: of different types, or texts that stand for a time or an amount.

use longhaul_expr::{Expression, Operand, Operation, Reference, Root};
use longhaul_model::diagnostic::Code;
use longhaul_model::document::Node;
use serde_json::{Value, json};

use crate::check::Checker;
use crate::names::Names;
use crate::schema;
use crate::status::StepStatus;

/// Formats whose text is compared and added letter by letter, and the function that makes of it what it stands for.
const QUANTITIES: [(&str, &str, &str); 4] = [
    ("duration", "a duration", "duration"),
    ("bytes", "a size", "size"),
    ("bandwidth", "a rate", "rate"),
    ("date-time", "a time", "time"),
];

/// Values that a message lists.
const LISTED_MAX: usize = 8;

/// A side of an operator whose schema is known.
struct Side {
    schema: Value,
    /// As the file has it.
    written: String,
    /// The text of a literal.
    literal: Option<Value>,
    /// The step whose status it is.
    status_of: Option<String>,
}

impl Side {
    /// The format of a text that stands for something else: what it is called, and the function.
    fn quantity(&self) -> Option<(&'static str, &'static str)> {
        let format = self.schema.get("format")?.as_str()?;
        QUANTITIES
            .iter()
            .find(|(known, ..)| *known == format)
            .map(|(_, called, function)| (*called, *function))
    }
}

impl Checker<'_> {
    /// Notes operators that come to the same whatever they are given, or that compare texts where amounts are meant.
    pub(crate) fn operations(
        &mut self,
        expression: &Expression,
        offset: usize,
        node: &Node,
        names: &Names<'_>,
    ) {
        for operation in expression.operations() {
            let [before, behind] = operation.sides.each_ref().map(|side| known(side, names));
            let (Some(before), Some(behind)) = (before, behind) else { continue };
            let Some((message, help)) = wrong(operation, &before, &behind) else { continue };
            let at = self.within(node, operation.at.start + offset, operation.at.end + offset);
            let mut one = self.mistake(Code::TypeMismatch, at, message);
            one.help = help;
            self.found.push(one);
        }
    }
}

fn known(side: &Operand, names: &Names<'_>) -> Option<Side> {
    match side {
        Operand::Literal(value) => Some(Side {
            schema: json!({ "type": type_of(value) }),
            written: value.to_string(),
            literal: Some(value.clone()),
            status_of: None,
        }),
        Operand::Read(reference) => Some(Side {
            schema: names.resolve(reference).ok()?.into_owned(),
            written: reference.to_string(),
            literal: None,
            status_of: step_of_status(reference),
        }),
        Operand::Other => None,
    }
}

fn step_of_status(reference: &Reference) -> Option<String> {
    match (&reference.root, reference.path.as_slice()) {
        (Root::Steps, [id, field]) if field == "status" => Some(id.clone()),
        _ => None,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What is wrong, and what to write.
fn wrong(operation: &Operation, before: &Side, behind: &Side) -> Option<(String, Option<String>)> {
    if operation.compares()
        && let Some(types) = of_different_types(before, behind)
    {
        let what = if operation.operator == "!=" { "always true" } else { "never true" };
        return Some((format!("`{}` is {what} here: {types}", operation.operator), None));
    }
    if let Some(wrong) = of_quantities(operation, before, behind) {
        return Some(wrong);
    }
    if !operation.compares()
        && let Some(types) = of_different_types(before, behind)
        && !joins(operation, before, behind)
    {
        return Some((format!("`{}` has no value here: {types}", operation.operator), None));
    }
    let is_equality = ["==", "!="].contains(&operation.operator.as_str());
    is_equality.then(|| not_among(before, behind).or_else(|| not_among(behind, before))).flatten()
}

/// Whether a `+` puts something behind a text, or into a list or map.
fn joins(operation: &Operation, before: &Side, behind: &Side) -> bool {
    let taken = |side: &Side| {
        let types = schema::types_of(&side.schema).unwrap_or_default();
        types.iter().any(|one| ["string", "array", "object"].contains(one))
    };
    operation.operator == "+" && (taken(before) || taken(behind))
}

fn of_different_types(before: &Side, behind: &Side) -> Option<String> {
    let [mine, theirs] = [before, behind].map(|side| schema::types_of(&side.schema));
    let (mine, theirs) = (mine?, theirs?);
    let alike = |one: &&str| {
        let number = ["integer", "number"];
        theirs.contains(one) || (number.contains(one) && theirs.iter().any(|other| number.contains(other)))
    };
    let differ = !mine.iter().any(alike) && !mine.contains(&"null") && !theirs.contains(&"null");
    differ.then(|| {
        let (mine, theirs) = (mine.join(" or "), theirs.join(" or "));
        format!("`{}` is of type {mine}, `{}` of type {theirs}", before.written, behind.written)
    })
}

/// Two texts of which one at least stands for a time or an amount.
fn of_quantities(operation: &Operation, before: &Side, behind: &Side) -> Option<(String, Option<String>)> {
    let sides = [before, behind];
    let (side, (called, function)) = sides.iter().find_map(|side| Some((*side, side.quantity()?)))?;
    let other = if std::ptr::eq(side, before) { behind } else { before };
    // `"at " + inputs.landfall` makes a text, and is meant to.
    let amount = |text: &str| text.starts_with(|letter: char| letter.is_ascii_digit());
    let is_amount = other.quantity().is_some()
        || other.literal.as_ref().is_some_and(|value| value.as_str().is_none_or(amount));
    if operation.operator == "+" && !is_amount {
        return None;
    }
    let written = &side.written;
    let how = if operation.compares() { "compared" } else { "taken" };
    let message = format!("`{written}` is the text of {called}, and is {how} letter by letter");
    Some((
        message,
        Some(format!("write `{function}({written})`: then the other side is read as {called}, too")),
    ))
}

/// A text that is not among the values that the other side may have.
fn not_among(side: &Side, literal: &Side) -> Option<(String, Option<String>)> {
    let values = side.schema.get("enum")?.as_array()?;
    let value = literal.literal.as_ref().filter(|value| !values.iter().any(|one| are_equal(one, value)))?;
    let message = format!("`{}` is never {value}", side.written);
    if let (Some(id), Some(status)) = (&side.status_of, value.as_str().filter(|it| is_status(it))) {
        let message = format!("{message} here: this is read only when what stands before it went well");
        let question = if status == StepStatus::Undone.as_str() {
            "always()".to_owned()
        } else {
            format!("failed(\"{id}\")")
        };
        return Some((message, Some(format!("ask how it ended with `{question}`"))));
    }
    let shown: Vec<String> = values.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    let more = if values.len() > LISTED_MAX { ", ..." } else { "" };
    Some((message, Some(format!("it is one of {}{more}", shown.join(", ")))))
}

/// Whether two values are the same to `==`, which compares numbers by what they amount to.
fn are_equal(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
        _ => one == other,
    }
}

fn is_status(word: &str) -> bool {
    StepStatus::ALL.iter().any(|status| status.as_str() == word)
}
