//! `gtm.redirect@1`: answers a VM's name with its address at another site, at every site that serves the zone.
//!
//! Done only when every agent, asked afterwards, says that it answers with the one new address. Reversible: undoing
//! it puts the former answer back.

use longhaul_model::action::{Descriptor, Effects};
use longhaul_model::ids::{SiteId, VmId};
use longhaul_step::{Error, ErrorClass};
use longhaul_wire::v1::outputs::Outputs as Kind;
use longhaul_wire::v1::start_request::Operation;
use longhaul_wire::v1::{NameRedirected, Outputs, RedirectName};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::descriptor::{describe, fails_at_agents, means, object, read, site, vm};
use crate::gtm_prepare::NAME_ERRORS;
use crate::outputs;
use crate::remote::{Call, Remote};

pub(crate) struct GtmRedirect {
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Params {
    vm: VmId,
    to: SiteId,
}

impl GtmRedirect {
    pub(crate) fn new() -> Self {
        let params = object(
            [
                ("vm", means(vm(), "the VM whose name it is")),
                ("to", means(site(), "the site whose address is answered")),
            ],
            [],
        );
        let summary = "Answers a VM's name with its address at another site, and reads it back";
        let outputs = outputs::name_redirected_schema();
        let errors = fails_at_agents(NAME_ERRORS);
        let effects = Effects::Reversible;
        Self { descriptor: describe("gtm.redirect@1", summary, effects, params, outputs, errors) }
    }
}

/// The one address that all sites answer with.
fn one_address(answers: &[(SiteId, NameRedirected)]) -> Result<(String, String), Error> {
    let (_, first) = answers.first().ok_or_else(|| {
        Error::new(ErrorClass::Precondition, "the inventory holds no site that could answer the name")
    })?;
    match answers.iter().find(|(_, out)| out.address != first.address) {
        None => Ok((first.name.clone(), first.address.clone())),
        Some((site, other)) => {
            let message = format!(
                "the sites answer differently: site {site} says {}, site {} says {}",
                other.address, answers[0].0, first.address
            );
            Err(Error::new(ErrorClass::Conflict, message))
        }
    }
}

impl Remote for GtmRedirect {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn calls(&self, sites: &[SiteId], params: &Value) -> Result<Vec<Call>, Error> {
        let Params { vm, to } = read(params)?;
        let request = RedirectName { vm: vm.to_string(), site: to.to_string() };
        let call =
            |site: &SiteId| Call { site: site.clone(), request: Operation::RedirectName(request.clone()) };
        Ok(sites.iter().map(call).collect())
    }

    fn outputs(&self, answers: Vec<(SiteId, Outputs)>) -> Result<Value, Error> {
        let mut redirected = Vec::new();
        for (site, outputs) in answers {
            let Some(Kind::NameRedirected(out)) = outputs.outputs else {
                return Err(outputs::mismatch(&site));
            };
            redirected.push((site, out));
        }
        let (name, address) = one_address(&redirected)?;
        let sites: Vec<Value> =
            redirected.iter().map(|(site, out)| outputs::name_redirected(out, site)).collect();
        Ok(json!({ "name": name, "address": address, "sites": sites }))
    }

    fn reads_back(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(site: &str, address: &str) -> (SiteId, NameRedirected) {
        let out =
            NameRedirected { name: "vm-a.lab.test".into(), address: address.into(), ..Default::default() };
        (site.parse().unwrap(), out)
    }

    /// Sites that answer with different addresses are a conflict that names both.
    #[test]
    fn different_answers_are_a_conflict() {
        let same = [answer("a", "10.2.0.1"), answer("b", "10.2.0.1")];
        assert_eq!(one_address(&same).unwrap().1, "10.2.0.1");
        let error = one_address(&[answer("a", "10.1.0.1"), answer("b", "10.2.0.1")]).unwrap_err();
        assert_eq!(error.class, ErrorClass::Conflict);
        assert!(error.message.contains("10.1.0.1") && error.message.contains("10.2.0.1"), "{error}");
    }
}
