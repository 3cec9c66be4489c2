//! `probe`: how to find out whether a step's effect is there, if its action cannot tell.

use longhaul_expr::Expression;
use longhaul_model::action::{Descriptor, Effects};
use longhaul_model::diagnostic::Code;
use longhaul_model::document::Node;
use longhaul_model::workflow::ProbeSpec;
use serde_json::{Value, json};

use crate::check::Checker;
use crate::names::Names;
use crate::parameters::{StepRead, Takes};
use crate::plan::WrittenProbe;
use crate::schema;

/// The name under which what was found is read.
pub const FOUND: &str = "found";

impl Checker<'_> {
    /// Checks the probe of a step whose action this is; adds what it reads of steps.
    pub(crate) fn probe(
        &mut self,
        spec: &ProbeSpec,
        of: Option<&Descriptor>,
        names: &Names<'_>,
        reads: &mut Vec<StepRead>,
    ) -> Option<WrittenProbe> {
        let looks = spec.uses.as_ref().and_then(|uses| self.descriptor(uses));
        self.check_looks_alone(spec, looks);
        let uses_span = spec.uses.as_ref().map_or(spec.span, |uses| uses.span);
        let with =
            self.parameters(spec.with.as_ref(), uses_span, looks.map(Takes::of_action).as_ref(), names);
        let found = looks.map_or_else(|| json!({}), |action| action.outputs.clone());
        let names = names.clone().with_variable(FOUND, found);
        let [done, absent, partial] = [&spec.done, &spec.absent, &spec.partial]
            .map(|node| node.as_ref().map(|node| self.meaning(node, &names, reads)));
        let takes = of.map(Takes::of_outputs);
        let outputs = self.parameters(spec.outputs.as_ref(), spec.span, takes.as_ref(), &names);
        let (with, outputs) = (with?, outputs?);
        reads.extend(with.reads.into_iter().chain(outputs.reads));
        Some(WrittenProbe {
            uses: looks?.name.clone(),
            with: with.template,
            done: done??,
            absent: absent.flatten(),
            partial: partial.flatten(),
            outputs: outputs.template,
        })
    }

    fn check_looks_alone(&mut self, spec: &ProbeSpec, looks: Option<&Descriptor>) {
        let (Some(looks), Some(uses)) = (looks, &spec.uses) else { return };
        if looks.effects != Effects::None {
            let message = format!("a probe only looks, and `{}` leaves something behind", looks.name);
            let one = self.mistake(Code::Effects, uses.span, message);
            self.found.push(one.help("use an action whose effects are `none`"));
        }
    }

    /// What one of the answers depends on: true or false.
    fn meaning(&mut self, node: &Node, names: &Names<'_>, reads: &mut Vec<StepRead>) -> Option<Expression> {
        let checked = self.expression(node, names)?;
        let boolean: Value = json!({ "type": "boolean" });
        if let Some(why) = schema::conflict(&names.type_of(&checked.expression), &boolean) {
            self.report(Code::TypeMismatch, node.span, format!("it is true or false: {why}"));
        }
        reads.extend(checked.reads);
        Some(checked.expression)
    }
}
