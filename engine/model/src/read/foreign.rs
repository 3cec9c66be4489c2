//! Keys that other engines have (GitHub Actions, Argo Workflows, Ansible), and what is meant by them here.

/// A key of another engine, and the key that says the same here.
const KEYS: [(&str, &str); 29] = [
    ("depends", "needs"),
    ("dependencies", "needs"),
    ("depends_on", "needs"),
    ("dependsOn", "needs"),
    ("requires", "needs"),
    ("when", "if"),
    ("condition", "if"),
    ("on", "triggers"),
    ("jobs", "steps"),
    ("tasks", "steps"),
    ("dag", "steps"),
    ("action", "uses"),
    ("run", "uses"),
    ("template", "uses"),
    ("templateRef", "uses"),
    ("args", "with"),
    ("arguments", "with"),
    ("parameters", "with"),
    ("params", "with"),
    ("timeout-minutes", "timeout"),
    ("activeDeadlineSeconds", "timeout"),
    ("async", "timeout"),
    ("with_items", "foreach"),
    ("withItems", "foreach"),
    ("withParam", "foreach"),
    ("loop", "foreach"),
    ("max-parallel", "max_parallel"),
    ("retryStrategy", "retry"),
    ("retries", "retry"),
];

/// A key of another engine that no single key here stands for, and what to write.
const SENTENCES: [(&str, &str); 20] = [
    ("continue-on-error", CONTINUE),
    ("continueOn", CONTINUE),
    ("ignore_errors", CONTINUE),
    ("strategy", "a step is repeated by `foreach`, `as` and `steps`; `max_parallel` says how many at once"),
    ("matrix", "a step is repeated by `foreach`, `as` and `steps`; `max_parallel` says how many at once"),
    (
        "register",
        "what a step puts out is read as `steps.ID.outputs.NAME`; nothing has to be declared for it",
    ),
    ("env", "a step sees its `with` alone: what several steps need is an input of the workflow"),
    ("vars", "what several steps need is an input of the workflow, with a `default`"),
    ("secrets", "credentials are no part of a workflow: agents and plugins have their own"),
    ("parallelism", "a `foreach` says with `max_parallel` how many items at once"),
    ("serial", "a `foreach` says with `max_parallel` how many items at once"),
    ("rescue", "the block is `on_failure`; a step answers a failure with `if: ${{ failed(\"ID\") }}`"),
    ("onExit", "the block is `always`"),
    ("finally", "the block is `always`"),
    ("suspend", "a step waits with `wait`, or for people with `approve`"),
    ("pause", "a step waits with `wait`, or for people with `approve`"),
    ("environment", "a step asks people with `approve`"),
    ("runs-on", "an action says in its `with` at which site it works"),
    ("hosts", "an action says in its `with` at which site it works"),
    ("outputs", "an action's outputs are what its contract says: read them as `steps.ID.outputs.NAME`"),
];

const CONTINUE: &str = "a `foreach` goes on after a failure with `on_item_failure: continue`; another step answers one with \
                        `if: ${{ failed(\"ID\") }}`";

/// YAML 1.1 merged a map into another by this key.
const MERGE: &str = "<<";

/// What to write in place of another engine's key, in a map that knows these.
pub(super) fn help(name: &str, known: &[&str]) -> Option<String> {
    if name == MERGE {
        let what = "merge keys are not part of the language: write the keys out, or share them by `defaults` and `include`";
        return Some(what.to_owned());
    }
    // Elsewhere than in a step or at the top of a workflow these words have other meanings.
    let is_workflow = ["needs", "triggers"].iter().any(|key| known.contains(key));
    let key = KEYS.iter().find(|(foreign, ours)| *foreign == name && known.contains(ours));
    let sentence = SENTENCES.iter().find(|(foreign, _)| *foreign == name && is_workflow);
    let key = key.map(|(_, ours)| format!("did you mean `{ours}`?"));
    key.or_else(|| sentence.map(|(_, what)| (*what).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow;

    /// Every key that is suggested exists, and no key that exists is taken for one of another engine.
    #[test]
    fn what_is_suggested_exists() {
        let step = workflow::step::keys();
        let known: Vec<&str> = workflow::KEYS.into_iter().chain(step.iter().copied()).collect();
        for (foreign, ours) in KEYS {
            assert!(known.contains(&ours) && !step.contains(&foreign), "{foreign}: {ours}");
        }
        assert_eq!(help("depends", &step).unwrap(), "did you mean `needs`?");
        assert_eq!(help("depends", &["uses"]), None);
        assert!(help("hosts", &step).is_some() && help("env", &workflow::KEYS).is_some());
        assert_eq!(help("hosts", &["uses", "at", "steps", "with"]), None, "an entry of `policies`");
        assert!(help("<<", &[]).unwrap().contains("merge keys"));
    }
}
