//! What a script answers with.

use longhaul_expr::embed;
use longhaul_model::policy::{Approval, Decision};
use longhaul_model::units::Time;
use longhaul_model::workflow::{QUORUM_MAX, is_role};
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

const KEYS: [&str; 5] = ["roles", "quorum", "forbid_self", "expires", "message"];
/// The most answers of one question.
const ANSWERS_MAX: usize = 100;

/// Gives an engine the functions that answer.
pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Decision>("answer");
    engine.register_fn("allow", || Decision::Allow);
    engine.register_fn("warn", |why: ImmutableString| said("warn", &why).map(Decision::Warn));
    engine.register_fn("deny", |why: ImmutableString| said("deny", &why).map(Decision::Deny));
    engine.register_fn("require_approval", |map: Map| approval(map).map(Decision::RequireApproval));
}

fn said(function: &str, why: &str) -> Result<String> {
    let why = why.trim();
    if why.is_empty() { Err(format!("`{function}` needs a reason").into()) } else { Ok(why.to_owned()) }
}

fn approval(map: Map) -> Result<Approval> {
    let value = embed::out_of_script(Dynamic::from_map(map)).map_err(|found| format!("it holds {found}"))?;
    if let Some(key) =
        value.as_object().into_iter().flatten().map(|(key, _)| key).find(|key| !KEYS.contains(&key.as_str()))
    {
        return Err(format!("an approval has no `{key}`; there are: {}", KEYS.join(", ")).into());
    }
    Ok(Approval {
        roles: roles(&value["roles"])?,
        quorum: quorum(&value["quorum"])?,
        forbid_self: flag(&value["forbid_self"])?,
        expires: expires(&value["expires"])?,
        message: message(&value["message"])?,
    })
}

fn roles(value: &Value) -> Result<Vec<String>> {
    let one = std::slice::from_ref(value);
    let roles = value.as_array().map_or(one, Vec::as_slice);
    let roles: Option<Vec<String>> =
        roles.iter().map(|role| role.as_str().filter(|role| is_role(role)).map(str::to_owned)).collect();
    match roles {
        Some(roles) if !roles.is_empty() => Ok(roles),
        Some(_) | None => {
            Err("`roles` of an approval is a list of roles, at least one: a-z, 0-9 and `-`".into())
        }
    }
}

fn quorum(value: &Value) -> Result<u32> {
    match value {
        Value::Null => Ok(1),
        value => {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            let number = number.filter(|number| (1..=QUORUM_MAX).contains(number));
            number.ok_or_else(|| format!("`quorum` of an approval is 1 to {QUORUM_MAX}, not {value}").into())
        }
    }
}

fn flag(value: &Value) -> Result<bool> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        other => Err(format!("`forbid_self` of an approval is true or false, not {other}").into()),
    }
}

fn expires(value: &Value) -> Result<Option<Time>> {
    match value {
        Value::Null => Ok(None),
        value => {
            let time = value.as_str().and_then(|text| text.parse().ok());
            let wrong =
                || format!("`expires` of an approval is a duration such as \"2h\", not {value}").into();
            time.map(Some).ok_or_else(wrong)
        }
    }
}

fn message(value: &Value) -> Result<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(format!("`message` of an approval is text, not {other}").into()),
    }
}

/// What a script handed back, if it is an answer or a list of answers.
pub(crate) fn of(value: Dynamic) -> std::result::Result<Vec<Decision>, String> {
    let kind = value.type_name();
    let all = match value.try_cast_result::<Array>() {
        Ok(items) => items,
        Err(one) => vec![one],
    };
    if all.is_empty() || all.len() > ANSWERS_MAX {
        return Err(format!("`decide` has {} answers: it has 1 to {ANSWERS_MAX}", all.len()));
    }
    let one = |value: Dynamic| {
        let found = value.type_name();
        value.try_cast::<Decision>().ok_or(found)
    };
    all.into_iter().map(one).collect::<std::result::Result<_, _>>().map_err(|found| {
        let found = if found == "()" { "nothing" } else if kind == "array" { "a list with something else" } else { found };
        format!("`decide` hands back {found}: write `allow()`, `warn(...)`, `deny(...)` or `require_approval(...)`")
    })
}
