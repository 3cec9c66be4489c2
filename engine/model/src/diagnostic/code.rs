//! Every kind of mistake, with its stable text and its page.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $label:literal, $title:literal, $happened:literal, $example:literal, $remedy:literal;)*) => {
        /// A kind of mistake. Its text is stable: scripts and search engines rely on it, and no text is used twice.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = concat!($text, ": ", $title, ".")] $name,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable text, such as `LH0008`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The kind of mistake in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What happened, in a sentence or two.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => $happened,)* }
            }

            /// What stands under the caret if nothing more exact is known.
            pub(super) const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// A stretch of a file that has the mistake.
            #[must_use]
            pub const fn example(self) -> &'static str {
                match self { $(Self::$name => $example,)* }
            }

            /// What to do, in a sentence or two.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

codes! {
    Syntax, "LH0001", "here", "the file is not YAML, or not TOML",
        "The file cannot be read as YAML 1.2 (JSON is a part of it), so nothing behind this place was looked at; a `plugin.toml` or a `longhaul.lock` not as TOML.",
        "steps:\n  move:\n   uses: [a, b",
        "Close what is open and line up the indentation. Tabs do not indent. In TOML text stands in quotes, and no key stands twice.";
    DuplicateKey, "LH0002", "again here", "a key stands twice in one map",
        "Two entries of a map have the same key. Which of them was meant cannot be known.",
        "steps:\n  move: { uses: vm.move@1 }\n  move: { uses: vm.move@1 }",
        "Remove or rename one of them.";
    UnquotedExpression, "LH0003", "not quoted", "an expression inside `{ }` or `[ ]` is not quoted",
        "Inside `{ }` and `[ ]` YAML reads the braces of `${{ }}` as maps of its own.",
        "with: { vm: ${{ vm }} }",
        "Quote the whole value: `with: { vm: \"${{ vm }}\" }`, `{ to: \"reports/${{ run.id }}.html\" }`; or write the map in block form.";
    UnclosedExpression, "LH0004", "never closed", "a `${{` has no `}}`",
        "An expression is opened and not closed in the same text. In an unquoted text ` #` begins a comment and cuts the rest off.",
        "foreach: ${{ inputs.vms.filter(|v| v != \" #\") }}",
        "Close it, and quote the text if it holds ` #` or `: `.";
    Document, "LH0005", "here", "the file does not hold one document",
        "A file holds exactly one document, a map, of a bounded size.",
        "---\nkind: Vm\n---\nkind: Vm",
        "Put each document into a file of its own.";
    Version, "LH0006", "not known", "the language version is not known",
        "`apiVersion` says which version of the format the file is written in; this program knows `longhaul/v1`. A `plugin.toml` says the same with `api`, a `longhaul.lock` with `version`; it knows 1 of both.",
        "apiVersion: longhaul/v7",
        "Write `apiVersion: longhaul/v1`, or use a newer program.";
    Kind, "LH0007", "not expected here", "the document is of another kind",
        "`kind` says what the file describes, and something else was expected, or the kind does not exist.",
        "kind: Virtualmachine",
        "Write one of Workflow, Defaults, Test, PolicyTest, Vm, Site, Sites, and name the right file.";
    UnknownKey, "LH0008", "unknown", "a key is unknown",
        "The map has no such key. Keys that begin with `x-` are free.",
        "steps:\n  move:\n    use: vm.move@1",
        "Correct the spelling, or begin the key with `x-` if it is a note of your own.";
    MissingKey, "LH0009", "in this map", "a key is missing",
        "The map needs a key that it does not have.",
        "apiVersion: longhaul/v1\nkind: Workflow",
        "Add the key.";
    WrongType, "LH0010", "here", "a value has the wrong type",
        "A map, a list, a text, a number or a truth value was expected and something else was found.",
        "steps: [move]",
        "Write a value of the type that the message names.";
    Malformed, "LH0011", "malformed", "a value is malformed",
        "The value has the right type and not the form it needs: an identifier, a quantity with its unit, an address, a digest.",
        "timeout: 10",
        "Write it in the form that the message shows, such as `10m` or `2GiB`.";
    StepBody, "LH0013", "in this step", "a step does nothing, or two things",
        "A step uses an action or another workflow (`uses`), repeats steps (`foreach` with `steps`), or waits; a key that belongs to one of these does not belong to the others.",
        "steps:\n  wait: { needs: [move] }",
        "Give it `uses`, or `foreach` and `steps`.";
    OtherFile, "LH0014", "not to be had", "another file cannot be used",
        "`uses` or `include` names a file that cannot be read, that lies outside the folder its path begins in, or that is nested too deep; or a file that was named to `longhaul validate` cannot be read, or is not text in UTF-8.",
        "steps:\n  one: { uses: ./evacaute-one.yaml }",
        "Correct the path: in a file it begins with `./` or `../` and counts from the folder of the file that names it. Save what is not UTF-8 as UTF-8.";
    FileCycle, "LH0015", "closes the circle", "workflows use each other in a circle",
        "A workflow that runs as a step runs, directly or by way of others, itself. Such a run would never begin.",
        "# in a.yaml\nsteps:\n  b: { uses: ./b.yaml }\n# in b.yaml\nsteps:\n  a: { uses: ./a.yaml }",
        "Remove one of these uses; put what both need into a third file.";
    Expression, "LH0020", "cannot be read", "an expression cannot be read",
        "What stands inside `${{ }}` is not an expression of the language.",
        "foreach: ${{ inputs.vms[ }}",
        "Correct the expression. `let`, loops, `eval` and printing are not part of the language.";
    NotOneExpression, "LH0021", "not one expression", "exactly one expression is needed",
        "The field is an expression: one `${{ }}` and no text around it. A list stands inside it as well.",
        "foreach: ${{ inputs.vms }} and more",
        "Move everything inside the one `${{ }}`: `${{ [inputs.first, inputs.second] }}` is a list.";
    UnknownFunction, "LH0022", "unknown", "a function is unknown",
        "The expression calls a function that the language does not have.",
        "foreach: ${{ inputs.vms.fliter(|v| true) }}",
        "Correct the spelling.";
    UnknownName, "LH0023", "unknown", "a name is unknown",
        "An expression begins with a name that is not `inputs`, `steps`, `run` or an item variable of a `foreach` around it.",
        "with: { vm: \"${{ vmm }}\" }",
        "Correct the spelling, or read it from `inputs`.";
    UnknownInput, "LH0024", "unknown", "an input is unknown",
        "Something reads or gives an input that the workflow does not declare.",
        "with: { to: \"${{ inputs.target }}\" }",
        "Correct the spelling, or declare it below `inputs`.";
    UnknownStep, "LH0025", "unknown", "a step is unknown",
        "Something names a step that does not exist, or that cannot be seen from there: nested steps are seen by their siblings alone.",
        "needs: [preflght]",
        "Correct the spelling. From outside a foreach, read `steps.ID.items`.";
    UnknownOutput, "LH0026", "unknown", "an output is unknown",
        "An expression reads something that the step does not put out.",
        "with: { lanes: \"${{ steps.tunnel.outputs.lane }}\" }",
        "Correct the spelling; the message lists what there is.";
    InvalidSchema, "LH0027", "not a schema", "an input's schema is wrong",
        "An input is described by a JSON Schema (2020-12), and its default has to fit its own schema.",
        "inputs:\n  n: { type: integr }",
        "Correct the schema or the default.";
    MissingInput, "LH0028", "declared here", "an input is missing",
        "The workflow declares an input without a default, and no value was given.",
        "inputs:\n  vms: { type: array }",
        "Give the value on the command line, or declare a default.";
    InvalidInput, "LH0029", "declared here", "an input does not fit",
        "A value that was given does not fit the schema of its input; or the list of a `foreach` has an item twice.",
        "inputs:\n  present: { type: number, maximum: 1 }",
        "Give a value that fits.";
    UnknownAction, "LH0030", "unknown", "an action is unknown",
        "`uses` names an action that this program does not have, or not in that version.",
        "uses: vm.mvoe@1",
        "Correct the name; `noun.verb@version`.";
    InvalidParameter, "LH0031", "does not fit", "a parameter does not fit",
        "A value below `with` does not fit what the action takes.",
        "with: { vm: vm-a, max_pause: 300 }",
        "Write what the message asks for.";
    TypeMismatch, "LH0032", "of the wrong type", "an expression has the wrong type",
        "The value of the expression will have a type that cannot stand there; or an operator has sides of different types, so that a comparison comes to the same whatever they are, or a text that stands for a time or an amount, of which it would compare the letters.",
        "with: { vm: \"${{ inputs.vms }}\" }",
        "Read something of the right type, or convert it: `inputs.n == 3`, `duration(inputs.window) > \"90s\"`.";
    Cycle, "LH0033", "part of the cycle", "steps wait for each other",
        "Steps need each other in a circle, so none of them could ever start. Reading a step's output is a need, too.",
        "steps:\n  a: { needs: [b], uses: x.y@1 }\n  b: { needs: [a], uses: x.y@1 }",
        "Remove one of the needs.";
    ReservedName, "LH0034", "cannot be used", "a name cannot be used",
        "The name is a word of the expression language, or already has another meaning there, so that nothing could read it.",
        "steps:\n  new: { uses: x.y@1 }",
        "Choose another name.";
    Pivots, "LH0035", "cannot stand here", "a pivot cannot stand here",
        "After its pivot a run only goes forward, and what nothing can undo, such as `vm.move@1`, is a pivot whether its file says so or not. A second pivot on the same branch would promise an undo that cannot be kept; one that runs `always()`, or below `on_failure` or `always`, would start while the steps before it are undone; and what it stands on is no `scope`, which is taken away at the end.",
        "steps:\n  a: { uses: vm.move@1, pivot: true }\n  b: { needs: [a], uses: vm.move@1, pivot: true }",
        "Leave one pivot, or split the workflow; ask how steps ended with `succeeded(\"copy\")` in place of `always()`; leave `scope` out.";
    Effects, "LH0036", "asserted here", "asserted effects are not the action's",
        "`effects` is an assertion. The action declares something else.",
        "uses: vm.move@1\neffects: none",
        "Correct or remove the assertion.";
    CompensationReads, "LH0037", "not readable here", "a compensation reads too much",
        "A compensation has to work when later steps never ran: it may read inputs, `run`, item variables and its own step's outputs.",
        "compensate: { uses: x.y@1, with: { a: \"${{ steps.later.outputs.b }}\" } }",
        "Put what is needed into the step's own outputs or parameters.";
    ForwardRead, "LH0038", "read here", "a step is read where it cannot have run",
        "The expression reads a step whose outputs cannot exist there: its own step's, or in `foreach` those of its own items.",
        "steps:\n  a: { uses: x.y@1, with: { b: \"${{ steps.a.outputs.c }}\" } }",
        "Read an earlier step.";
    MayNotHaveRun, "LH0039", "no default", "an output is read of a step that may not have run",
        "The step has an `if`, or the reader runs also when it failed: then it puts nothing out, and the expression would have no value.",
        "steps:\n  a: { uses: x.y@1, if: \"${{ inputs.n > 1 }}\" }\n  b: { uses: x.y@1, with: { c: \"${{ steps.a.outputs.d }}\" } }",
        "Give a default (`steps.a.outputs.d ?? 0`), or run the reader only `if: ${{ succeeded(\"a\") }}`.";
    Trigger, "LH0040", "cannot work", "a trigger cannot work",
        "A schedule that is none or never comes due, a time zone that does not exist, or two triggers that could not be told apart.",
        "triggers:\n  - schedule: { cron: \"0 25 * * *\" }",
        "Write minute, hour, day of the month, month and day of the week, such as `0 3 * * *`; `longhaul triggers` shows when it comes due.";
    NeverUndone, "LH0041", "never runs", "an undo would never run",
        "Steps of `on_failure` and `always` are not undone, nor is a pivot, nor what nothing can undo, such as `vm.move@1`: what is written for their undo would never run.",
        "always:\n  ttl: { uses: gtm.prepare@1, with: { vm: vm-a, ttl: 5 }, compensate: { uses: report.write@1 } }",
        "Leave it out. A step of a block may be a `scope`, which is undone at the end of its block. A VM goes back by a run of its own, such as `fail-back.yaml`: its disk has to be copied first.";
    NotAskedHere, "LH0042", "asks for a site", "nobody can be asked here",
        "`site_up` is asked when a decision is due that waits for the answer: a step's `if`, or what its undo requires. Everywhere else an expression has its value from what is known already.",
        "steps:\n  copy: { uses: x.y@1, with: { up: \"${{ site_up(\\\"tampa\\\") }}\" } }",
        "Ask in the `if` of a step, and let what depends on it need that step.";
    NotEvaluated, "LH0043", "not evaluated", "an expression cannot stand here",
        "What describes a workflow is read before anything has a value: its summary, and the schemas of its inputs with their defaults. An expression there would be a text with `${{` in it.",
        "inputs:\n  to: { type: string, default: \"${{ inputs.from }}\" }",
        "Write a value. A default that depends on other inputs is `null`, of `type: [string, \"null\"]`, and what is meant by it stands where it is used: `${{ inputs.to ?? inputs.from }}`.";
    OtherEngine, "LH0044", "no expression here", "an expression is written as other engines do",
        "An expression stands in `${{ }}`. `{{ }}` and `${ }`, which other engines have, would be text here, and unquoted YAML reads their braces as maps.",
        "with: { to: \"{{ inputs.to }}\" }",
        "Write `\"${{ inputs.to }}\"`.";
    NoUndo, "LH0047", "takes nothing back", "an undo takes nothing back",
        "What `compensate` names does not take back what the step did: it only looks, or it is itself something that nothing can undo, or it does the same once more. The run would say that all was undone, and it would not be.",
        "copy:\n  uses: storage.prefetch@1\n  compensate: { uses: site.check@1 }",
        "Name an action that takes back what the step did, with the values that were there before; or leave `compensate` out, and the action's own undo is used.";
    IdleAnswer, "LH0059", "passes over nothing", "an answer that does not come would change nothing",
        "`on_expire: skip` passes over a step and what needs it in its own graph. No step there needs this one, and nothing reads how it ended: all would go on as if somebody had said yes.",
        "steps:\n  gate: { approve: { roles: [operator], expires: 2h, on_expire: skip } }\n  move: { uses: x.y@1 }",
        "Let what waits for the answer need the step, or write `on_expire: fail`. In a workflow that runs as a step, an output can tell: `ok: ${{ steps.gate.status == \"succeeded\" }}`.";
    UnknownResource, "LH0048", "unknown", "a resource is unknown",
        "A step claims a part of something that the workflow does not declare below `resources`. A workflow that runs as a step declares what its own steps claim.",
        "resources:\n  wan: { kind: bandwidth, capacity: 1Gbit/s }\nsteps:\n  a: { uses: x.y@1, claims: { wam: elastic } }",
        "Correct the spelling, or declare it below `resources`.";
    Amount, "LH0049", "cannot be had", "an amount of a resource is wrong",
        "A claim asks for more than its resource can ever give, so the step would wait for ever; or an amount has another unit than its resource's kind, or is nothing.",
        "resources:\n  wan: { kind: bandwidth, capacity: 1Gbit/s, reserve: 20% }\nsteps:\n  a: { uses: x.y@1, claims: { wan: 900Mbit/s } }",
        "Claim less, or declare a greater capacity or a smaller reserve; write bandwidth as `100Mbit/s`, memory and disk as `2GiB`, a count as `4`.";
    PolicyScript, "LH0045", "here", "a policy's script cannot be read",
        "The script of a policy is not Rhai, or uses something that policies do not have: they touch no file, no network and no clock, and there is no `eval` and no `import`.",
        "# in window.rhai\nfn decide(view) {\n    import \"io\" as io;\n    allow()\n}",
        "Correct the script; what it may call is listed in `docs/guide/policies.md`.";
    NoDecide, "LH0046", "in this script", "a policy does not decide",
        "A policy's script has one function `decide` that takes the view, and nothing stands outside of functions.",
        "# in window.rhai\nfn check(view) { allow() }",
        "Write `fn decide(view) { ... }`, which returns `allow()`, `warn(...)`, `deny(...)`, `require_approval(...)` or a list of these.";
    UnusedMock, "LH0050", "used nowhere", "a mock is for something that the workflow does not use",
        "A mock is named after an action that the workflow under test does not use, so it would mock nothing.",
        "mocks:\n  vm.mvoe@1: { takes: 3m }",
        "Correct the name, or remove the mock.";
    MockOutputs, "LH0051", "does not fit", "a mock puts out what its action never would",
        "What a mock puts out has to fit the schema of its action's outputs; otherwise the test proves nothing about a run.",
        "mocks:\n  storage.prefetch@1: { outputs: { rounds: many } }",
        "Write what the message asks for. What is not written is made from the schema.";
    TestedWorkflow, "LH0052", "not a workflow", "the workflow under test cannot be tested",
        "`workflow` names the file under test, as seen from the test file. It cannot be read, or it has mistakes of its own.",
        "workflow: evacaute.yaml",
        "Correct the path, or first the workflow: `longhaul validate` says what is wrong with it.";
    CaseTwice, "LH0053", "again here", "two cases have one name",
        "A case is named in messages and in the file of its snapshot, so no two cases of a file share a name. Letter case and punctuation do not count.",
        "cases:\n  - name: happy\n  - name: happy",
        "Rename one of them.";
    TestedPolicy, "LH0054", "not a policy", "the policy under test cannot be tested",
        "`policy` names the script under test, as seen from the test file. It cannot be read, or a case shows it what no run ever would.",
        "policy: widnow.rhai",
        "Correct the path, or the view: `docs/guide/policies.md` lists what policies see.";
    UnknownPlugin, "LH0055", "unknown", "a plugin is unknown",
        "`plugins` asks for a plugin that has no folder below `plugins/` beside the file; or `uses` names a plugin that the file does not declare below `plugins`, or a policy that the plugin does not offer.",
        "plugins: { f5: \"bigip@^1\" }\npolicy:\n  - { uses: f6/window.rhai, at: plan }",
        "Correct the name, put the plugin's folder beside the file, or declare it. A script beside the file is named `./window.rhai`.";
    PluginFolder, "LH0056", "here", "a plugin's folder cannot be used",
        "The folder has no `plugin.toml`, is called otherwise than the plugin in it, holds a version that another folder holds as well, or holds what a plugin does not: links, more than 1,000 files and folders, more than 64 MiB.",
        "# in plugins/bigip-1.3.0/plugin.toml\nname = \"bigip\"\nversion = \"1.2.0\"",
        "Call the folder `NAME` or `NAME-VERSION`, as its `plugin.toml` has them, and take out what does not belong there.";
    NotLocked, "LH0057", "not locked", "a plugin is not locked",
        "A range says which versions of a plugin will do, and `longhaul.lock` beside the file which of them is meant. There is none, it has another version than the range or than is there, or no version that is there is in the range.",
        "plugins: { f5: \"bigip@^2\" }\n# longhaul.lock has bigip 1.2.0",
        "Run `longhaul plugin lock FILE`, look at what it says has changed, and keep the lock with the file.";
    PluginChanged, "LH0058", "not what was locked", "a plugin is not what was locked",
        "Something in the plugin's folder was changed, added or removed since it was locked: the digest of the folder is another than that in `longhaul.lock`.",
        "plugins: { f5: \"bigip@^1\" }\n# somebody edited plugins/bigip/window.rhai",
        "Put back what it was. Or look at what was changed, and run `longhaul plugin lock FILE`.";
}

impl Code {
    /// The code of that text, in upper or lower case.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }

    /// The page `docs/errors/CODE.md`.
    #[must_use]
    pub fn page(self) -> String {
        let (text, title, happened) = (self.as_str(), self.title(), self.explanation());
        let (example, remedy) = (self.example(), self.remedy());
        format!(
            "# {text}: {title}\n\n## What happened\n\n{happened}\n\nNothing was started.\n\n## Example\n\n\
             ```yaml\n{example}\n```\n\n## What to do\n\n{remedy}\n"
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// No two codes share a text, every text has the promised form, and every page says what to do.
    #[test]
    fn codes_are_unique_and_have_pages() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.as_str().len() == 6 && code.as_str().starts_with("LH"), "{code}");
            assert!(code.page().contains("## What to do\n\n") && code.title().len() > 5, "{code}");
        }
    }
}
