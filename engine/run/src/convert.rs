//! Between the action contract's values and those of the saga. Their JSON forms are the same.

use std::collections::BTreeMap;

use longhaul_model::ids::SiteId;
use longhaul_plan::Budget;
use longhaul_saga::{Answer, Failure};
use longhaul_step::{Claimed, Claims, Error, Probe};
use serde_json::Value;

pub(crate) fn failure(error: Error) -> Failure {
    Failure { class: error.class.as_str().to_owned(), message: error.message, code: error.code }
}

pub(crate) fn answer(probe: Probe) -> Answer {
    match probe {
        Probe::Done(outputs) => Answer::Done(outputs),
        Probe::Absent => Answer::Absent,
        Probe::Partial => Answer::Partial,
        Probe::CannotTell(error) => Answer::CannotTell(failure(error)),
    }
}

/// What a step has, with what is known of each resource.
pub(crate) fn claims(amounts: &BTreeMap<String, u64>, budgets: &[&Budget]) -> Claims {
    let claimed = budgets.iter().filter_map(|budget| {
        let amount = *amounts.get(&budget.name)?;
        let claimed = Claimed { kind: budget.kind, amount, sites: sites(&budget.place) };
        Some((budget.name.clone(), claimed))
    });
    claimed.collect()
}

/// One site, or several.
fn sites(place: &Value) -> Vec<SiteId> {
    let places = place.as_array().map_or(std::slice::from_ref(place), Vec::as_slice);
    places.iter().filter_map(|site| site.as_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use longhaul_model::resource::ResourceKind;
    use serde_json::json;

    use super::*;

    /// An action is told of each of its claims what it is of, and where that is.
    #[test]
    fn claims_say_what_they_are_of() {
        let budget =
            |name: &str, kind, place| Budget { name: name.into(), kind, capacity: 9, to_give: 9, place };
        let wan = budget("wan", ResourceKind::Bandwidth, json!(["a", "b"]));
        let room = budget("room", ResourceKind::Memory, json!("b"));
        let slots = budget("slots", ResourceKind::Count, Value::Null);
        let amounts = [("wan", 5), ("room", 6), ("slots", 7)].map(|(name, amount)| (name.to_owned(), amount));
        let told = claims(&amounts.into(), &[&wan, &room, &slots]);
        let seen = |name: &str| {
            let Claimed { kind, amount, sites } = &told[name];
            (*kind, *amount, sites.iter().map(SiteId::as_str).collect::<Vec<_>>())
        };
        assert_eq!(seen("wan"), (ResourceKind::Bandwidth, 5, vec!["a", "b"]));
        assert_eq!(seen("room"), (ResourceKind::Memory, 6, vec!["b"]));
        assert_eq!(seen("slots"), (ResourceKind::Count, 7, vec![]));
    }
}
