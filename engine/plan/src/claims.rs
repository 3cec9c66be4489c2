//! Checks of resources and of what steps claim of them.

use longhaul_expr::{Scope, Template};
use longhaul_model::diagnostic::Code;
use longhaul_model::document::{Content, Node};
use longhaul_model::source::Span;
use longhaul_model::workflow::{ClaimAmount, ClaimSpec, ResourceSpec};
use serde_json::{Value, json};

use crate::check::Checker;
use crate::inputs::Declared;
use crate::names::{Names, suggestion};
use crate::parameters::{StepRead, reads_inputs_alone};
use crate::resources::{Budget, Claim, Reserve, Resource, Share};
use crate::schema;

/// A resource, and its budget where the inputs alone make that known.
pub(crate) struct CheckedResource {
    pub(crate) resource: Resource,
    budget: Option<Budget>,
}

impl<'a> Checker<'a> {
    /// The workflow's resources. They are worked out when it begins, so they see its inputs alone.
    pub(crate) fn declared_resources(&mut self, declared: &[Declared<'a>]) -> Vec<CheckedResource> {
        let workflow = self.workflow;
        let names = Names::root(declared, &[], self.uses);
        workflow.resources.iter().filter_map(|spec| self.resource(spec, &names)).collect()
    }

    fn resource(&mut self, spec: &ResourceSpec, names: &Names<'_>) -> Option<CheckedResource> {
        let capacity = spec.capacity.as_ref().map(|node| self.amount(node, names));
        let reserve = spec.reserve.as_ref().map(|node| self.reserve(node, names));
        let place = spec.between.as_ref().or(spec.site.as_ref()).map(|node| self.place(node, names));
        let resource = Resource {
            name: spec.name.value.clone(),
            kind: spec.kind.as_ref()?.value,
            capacity: capacity??.0,
            reserve: reserve.map_or(Some(None), |it| it.map(Some))?,
            place: place.map_or(Some(None), |it| it.map(Some))?,
        };
        let known = [Some(&resource.capacity), reserved(&resource), resource.place.as_ref()];
        let budget = self.known_scope(known).map(|scope| resource.bind(&scope)).transpose();
        let budget = budget.unwrap_or_else(|why| {
            let message = format!("resource `{}`: {why}", resource.name);
            self.report(
                Code::Amount,
                spec.capacity.as_ref().map_or(spec.name.span, |node| node.span),
                message,
            );
            None
        });
        Some(CheckedResource { resource, budget })
    }

    /// A site, or two of them.
    fn place(&mut self, node: &Node, names: &Names<'_>) -> Option<Template> {
        let place = self.template(node, names)?.template;
        let sites = match &node.content {
            Content::List(sites) => sites.as_slice(),
            _ => std::slice::from_ref(node),
        };
        for site in sites.iter().filter(|site| site.as_text().is_some()) {
            let template = Template::parse(site.to_json()).ok()?;
            self.value_of_format(site, &template, "site-id", names);
        }
        Some(place)
    }

    fn reserve(&mut self, node: &Node, names: &Names<'_>) -> Option<Reserve> {
        if let Some(part) = node.as_text().and_then(|text| text.strip_suffix('%')) {
            let percent = part.parse().ok().filter(|percent| *percent < 100);
            if percent.is_none() || part.starts_with('+') {
                let message = format!("`{part}%` is not a part of the whole: a whole number below 100");
                self.report(Code::Malformed, node.span, message);
                return None;
            }
            return percent.map(Reserve::Percent);
        }
        self.amount(node, names).map(|(template, _)| Reserve::Amount(template))
    }

    /// An amount, as far as its type is known, and the steps that it reads.
    fn amount(&mut self, node: &Node, names: &Names<'_>) -> Option<(Template, Vec<StepRead>)> {
        let checked = self.template(node, names)?;
        let wanted = json!({ "type": ["string", "integer"] });
        let have = match (checked.template.source(), checked.template.expressions().as_slice()) {
            (Value::String(_), [placed]) if placed.whole => names.type_of(placed.expression).into_owned(),
            (Value::String(_) | Value::Number(_), _) => wanted.clone(),
            _ => {
                self.report(
                    Code::WrongType,
                    node.span,
                    format!("expected an amount, found {}", node.type_name()),
                );
                return None;
            }
        };
        if let Some(why) = schema::conflict(&have, &wanted) {
            self.report(Code::TypeMismatch, node.span, format!("an amount is text or a whole number: {why}"));
        }
        Some((checked.template, checked.reads))
    }

    /// What a step claims, and the steps that it reads for that.
    pub(crate) fn claims(&mut self, specs: &[ClaimSpec], names: &Names<'_>) -> (Vec<Claim>, Vec<StepRead>) {
        let mut all = (Vec::new(), Vec::new());
        for spec in specs {
            if let Some((claim, reads)) = self.claim(spec, names) {
                all.0.push(claim);
                all.1.extend(reads);
            }
        }
        all
    }

    fn claim(&mut self, spec: &ClaimSpec, names: &Names<'_>) -> Option<(Claim, Vec<StepRead>)> {
        let mut reads = Vec::new();
        let mut bound = |node: Option<&Node>, checker: &mut Self| match node {
            None => Some(None),
            Some(node) => {
                let (template, read) = checker.amount(node, names)?;
                reads.extend(read);
                Some(Some(template))
            }
        };
        let share = match &spec.amount {
            ClaimAmount::Fixed { amount, keep } => {
                Share::Fixed { amount: bound(Some(amount), self)??, keep: *keep }
            }
            ClaimAmount::Elastic { at_least, at_most } => {
                let (at_least, at_most) = (bound(at_least.as_ref(), self), bound(at_most.as_ref(), self));
                Share::Elastic { at_least: at_least?, at_most: at_most? }
            }
        };
        let claim = Claim { resource: spec.resource.value.clone(), share };
        self.check_claim(&claim, spec);
        Some((claim, reads))
    }

    fn check_claim(&mut self, claim: &Claim, spec: &ClaimSpec) {
        let declared = &self.workflow.resources;
        if !declared.iter().any(|resource| resource.name.value == claim.resource) {
            let message = format!("there is no resource `{}`", claim.resource);
            let names = declared.iter().map(|resource| resource.name.value.as_str());
            let mut one = self.mistake(Code::UnknownResource, spec.resource.span, message);
            one.help = suggestion(&claim.resource, names, "there are");
            return self.found.push(one);
        }
        let known = self.resources.iter().find(|known| known.resource.name == claim.resource);
        let Some(budget) = known.and_then(|known| known.budget.clone()) else { return };
        if let Some(Err(why)) =
            self.known_scope(claim.share.templates()).map(|scope| claim.bind(&budget, &scope))
        {
            self.claim_error(spec.span, &claim.resource, &why);
        }
    }

    fn claim_error(&mut self, span: Span, resource: &str, why: &str) {
        self.report(Code::Amount, span, format!("claim of `{resource}`: {why}"));
    }

    /// What these can be evaluated with now, if they can be.
    fn known_scope(&self, templates: [Option<&Template>; 3]) -> Option<Scope> {
        let expressions = || templates.into_iter().flatten().flat_map(Template::expressions);
        if expressions().next().is_none() {
            return Some(Scope::default());
        }
        let by_inputs = expressions().all(|placed| reads_inputs_alone(placed.expression));
        self.scope.clone().filter(|_| by_inputs)
    }
}

impl Share {
    /// The texts that say how much it is.
    pub(crate) fn templates(&self) -> [Option<&Template>; 3] {
        match self {
            Self::Fixed { amount, keep: _ } => [Some(amount), None, None],
            Self::Elastic { at_least, at_most } => [at_least.as_ref(), at_most.as_ref(), None],
        }
    }
}

fn reserved(resource: &Resource) -> Option<&Template> {
    match &resource.reserve {
        Some(Reserve::Amount(template)) => Some(template),
        Some(Reserve::Percent(_)) | None => None,
    }
}
