//! The keywords of JSON Schema 2020-12, wherever a file holds a schema: JSON Schema lets everything else pass, also what is
//! misspelt.

use crate::document::{Content, Node};
use crate::read::Reader;

/// What stands behind a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A value, also one that looks like a schema.
    Value,
    /// A schema.
    Schema,
    /// A list of schemas.
    Schemas,
    /// Schemas by names that anybody may choose.
    Named,
}

/// Every keyword of the vocabularies of 2020-12 (JSON Schema Core 8, 10, 11; Validation 6 to 9), and `definitions`, which its
/// meta-schema keeps for what is older.
pub(crate) const KEYWORDS: &[(&str, Holds)] = &[
    ("$schema", Holds::Value),
    ("$id", Holds::Value),
    ("$anchor", Holds::Value),
    ("$dynamicAnchor", Holds::Value),
    ("$ref", Holds::Value),
    ("$dynamicRef", Holds::Value),
    ("$vocabulary", Holds::Value),
    ("$comment", Holds::Value),
    ("$defs", Holds::Named),
    ("definitions", Holds::Named),
    ("type", Holds::Value),
    ("format", Holds::Value),
    ("title", Holds::Value),
    ("description", Holds::Value),
    ("default", Holds::Value),
    ("examples", Holds::Value),
    ("deprecated", Holds::Value),
    ("readOnly", Holds::Value),
    ("writeOnly", Holds::Value),
    ("const", Holds::Value),
    ("enum", Holds::Value),
    ("minimum", Holds::Value),
    ("maximum", Holds::Value),
    ("exclusiveMinimum", Holds::Value),
    ("exclusiveMaximum", Holds::Value),
    ("multipleOf", Holds::Value),
    ("minLength", Holds::Value),
    ("maxLength", Holds::Value),
    ("pattern", Holds::Value),
    ("items", Holds::Schema),
    ("prefixItems", Holds::Schemas),
    ("contains", Holds::Schema),
    ("minItems", Holds::Value),
    ("maxItems", Holds::Value),
    ("uniqueItems", Holds::Value),
    ("minContains", Holds::Value),
    ("maxContains", Holds::Value),
    ("unevaluatedItems", Holds::Schema),
    ("properties", Holds::Named),
    ("patternProperties", Holds::Named),
    ("additionalProperties", Holds::Schema),
    ("unevaluatedProperties", Holds::Schema),
    ("propertyNames", Holds::Schema),
    ("required", Holds::Value),
    ("minProperties", Holds::Value),
    ("maxProperties", Holds::Value),
    ("dependentRequired", Holds::Value),
    ("dependentSchemas", Holds::Named),
    ("allOf", Holds::Schemas),
    ("anyOf", Holds::Schemas),
    ("oneOf", Holds::Schemas),
    ("not", Holds::Schema),
    ("if", Holds::Schema),
    ("then", Holds::Schema),
    ("else", Holds::Schema),
    ("contentEncoding", Holds::Value),
    ("contentMediaType", Holds::Value),
    ("contentSchema", Holds::Schema),
];

/// Notes every key of a schema, and of the schemas in it, that is no keyword. What is no schema at all is told by whoever builds
/// its validator.
pub(crate) fn check(node: &Node, reader: &mut Reader<'_>) {
    if !matches!(node.content, Content::Map(_)) {
        return;
    }
    let keywords: Vec<&str> = KEYWORDS.iter().map(|(keyword, _)| *keyword).collect();
    check_below(node, &keywords, reader);
}

fn check_below(node: &Node, keywords: &[&str], reader: &mut Reader<'_>) {
    if !matches!(node.content, Content::Map(_)) {
        return;
    }
    reader.fields(node, "a JSON Schema", keywords);
    for entry in node.entries() {
        let holds = KEYWORDS.iter().find(|(keyword, _)| *keyword == entry.key.value).map(|(_, holds)| *holds);
        match (holds, &entry.value.content) {
            (Some(Holds::Schema), _) => check_below(&entry.value, keywords, reader),
            (Some(Holds::Schemas), Content::List(parts)) => {
                parts.iter().for_each(|part| check_below(part, keywords, reader));
            }
            (Some(Holds::Named), Content::Map(parts)) => {
                parts.iter().for_each(|part| check_below(&part.value, keywords, reader));
            }
            (Some(Holds::Value | Holds::Schemas | Holds::Named) | None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::source::Source;

    /// A misspelt keyword is told at each depth with the one that was meant; names, values and notes may be anything.
    #[test]
    fn misspelt_keywords_are_told() {
        let text = "itmes: {}\nminimun: 1\nx-note: { itmes: 1 }\nnullable: true\n\
                    properties: { itmes: { defualt: 1 }, type: { type: string } }\n\
                    items: { anyOf: [{ minItem: 1 }, true], not: { enmu: [] } }\n$defs: { a: { requierd: [] } }\n\
                    default: { defualt: 1 }\nenum: [{ defualt: 1 }]\nconst: { defualt: 1 }\nexamples: [{ defualt: 1 }]\n";
        let source = Source::new("t", text);
        let mut reader = Reader::new(&source);
        check(&Document::parse(&source).unwrap().root, &mut reader);
        let found: Vec<_> =
            reader.found.iter().map(|one| (source.slice(one.span), one.help.as_deref())).collect();
        let meant = |key, help| (key, Some(help));
        let expected = [
            meant("itmes", "did you mean `items`?"),
            meant("minimun", "did you mean `minimum`?"),
            meant("nullable", found[2].1.unwrap()),
            meant("defualt", "did you mean `default`?"),
            meant("minItem", "did you mean `minItems`?"),
            meant("enmu", "did you mean `enum`?"),
            meant("requierd", "did you mean `required`?"),
        ];
        assert_eq!(found, expected);
        assert!(found[2].1.unwrap().starts_with("there are: $schema, "), "{found:?}");
    }
}
