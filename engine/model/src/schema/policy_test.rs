//! The schema of a test file of a policy.

use serde_json::{Value, json};

use super::parts::{any_map, head, list, map, means, or_else, pattern, text, titled, words};
use crate::policy::Hook;
use crate::policy_test::{CASE_KEYS, EXPECT_KEYS, Expected, KEYS, QUESTION_KEYS};

/// At least one letter or digit.
const NAME: &str = r"[\p{L}\p{N}]";

pub(super) fn schema() -> Value {
    map(&KEYS, &["apiVersion", "kind", "policy", "cases"], key)
}

fn key(key: &str) -> Option<Value> {
    head(key, "PolicyTest").or_else(|| {
        Some(match key {
            "name" => means("What it is called", text()),
            "policy" => means("The script it tests, relative to this file", text()),
            "defaults" => means(
                "What holds for cases that say nothing themselves",
                map(&QUESTION_KEYS, &[], question_key),
            ),
            "cases" => means("The cases", list(&map(&CASE_KEYS, &["name", "expect"], case_key))),
            _ => return None,
        })
    })
}

fn question_key(key: &str) -> Option<Value> {
    Some(match key {
        "at" => means(
            "When it is asked; `plan` if it is not said",
            or_else("plan", words(&Hook::ALL.map(Hook::as_str))),
        ),
        "now" => means("At what time", json!({ "type": "string", "format": "date-time" })),
        "with" => means("What its script is given besides the view", any_map()),
        "view" => means("What it sees, as far as that matters; the rest is made up", any_map()),
        _ => return None,
    })
}

fn case_key(key: &str) -> Option<Value> {
    question_key(key).or_else(|| {
        Some(match key {
            "name" => means("Its name, in what is told of it", titled("text", pattern(NAME))),
            "expect" => means("What it is expected to say", map(&EXPECT_KEYS, &["decision"], expect_key)),
            _ => return None,
        })
    })
}

fn expect_key(key: &str) -> Option<Value> {
    Some(match key {
        "decision" => means(
            "The strictest of its answers; `error` is what it comes to when it cannot decide",
            words(&Expected::ALL.map(Expected::as_str)),
        ),
        "because" => means("Text that stands in what it says", text()),
        _ => return None,
    })
}
