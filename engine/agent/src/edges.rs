//! Where packets of this site's VMs go, and how that is made again when the kernel has lost it.

use longhaul_dataplane::edge::Service;
use longhaul_model::vm::Vm;

use crate::agent::Agent;
use crate::error::{Class, Error};
use crate::facts::{Role, VmFacts};
use crate::vms::from_facts;

impl Agent {
    /// Makes the edge what the facts say it is: the kernel forgets it when the host is started again. What is there already
    /// stays as it is.
    pub(crate) async fn restore_edges(&self) -> Result<(), Error> {
        for row in self.facts.apart(crate::facts::Facts::vms).await.map_err(from_facts)? {
            // One VM whose way cannot be made does not keep the others from theirs.
            if let Err(error) = self.restore_edge(&row).await {
                tracing::error!(vm = %row.vm, %error, "packets of a vm do not find their way");
            }
        }
        Ok(())
    }

    async fn restore_edge(&self, row: &VmFacts) -> Result<(), Error> {
        let Some(spec) = self.specs.find(row.vm.as_str())? else { return Ok(()) };
        match row.role {
            // Its route comes with its tap, when it is started.
            Role::Owner(_) => self.serve_abroad(&spec).await,
            Role::Relinquished(_) | Role::Absent(_) if self.is_looked_for(&spec)? => {
                let Some(site) = self.facts.last_peer(&spec.id).map_err(from_facts)? else { return Ok(()) };
                self.serve_abroad(&spec).await?;
                self.send_after(&spec, &site).await
            }
            // Who was prepared for is refused or taken in, and its edge with it, when its attempt is ended.
            Role::Relinquished(_) | Role::Absent(_) | Role::Incoming(_) => Ok(()),
        }
    }

    /// Whether clients may look for the VM at this site although it is not here: at its home, and wherever it has been.
    fn is_looked_for(&self, spec: &Vm) -> Result<bool, Error> {
        Ok(spec.home == self.site.id || self.facts.has_left(&spec.id).map_err(from_facts)?)
    }

    /// Packets find a VM at its home and at one other site: a way from one site abroad to another is not known yet.
    pub(crate) fn refuse_abroad(spec: &Vm, [from, to]: [&str; 2]) -> Result<(), Error> {
        let Vm { id, home, .. } = spec;
        if [from, to].contains(&home.as_str()) {
            return Ok(());
        }
        let message = format!(
            "vm {id} is at home at site {home} and can only move home from site {from}: its clients would not find it at \
             site {to}; move it to site {home} first"
        );
        Err(Error::new(Class::Precondition, message))
    }

    /// Answers for a VM that is not at home here under its address at this site.
    pub(crate) async fn serve_abroad(&self, spec: &Vm) -> Result<(), Error> {
        if spec.home == self.site.id {
            return Ok(());
        }
        let service = crate::names::address_at(spec, self.site.id.as_str())?;
        let served = Service { home: spec.nic.address, service, home_site: spec.home.to_string() };
        let serving = self.edge.serve(&served).await;
        serving.map_err(|error| Error::internal("serving the vm's address", &error))
    }

    /// Sends the VM's packets to the site where it is.
    pub(crate) async fn send_after(&self, spec: &Vm, site: &str) -> Result<(), Error> {
        let sending = self.edge.route_away(spec.nic.address, site).await;
        sending.map_err(|error| Error::internal("sending packets after the vm", &error))
    }

    /// Target: packets that the source sends after the VM wait from now on until it runs here; whoever finds it here already
    /// is sent to where it still runs, for without a way of its own a packet would take any.
    pub(crate) async fn expect(&self, spec: &Vm, source: &str) -> Result<(), Error> {
        self.send_after(spec, source).await?;
        self.serve_abroad(spec).await?;
        self.edge.park(spec.nic.address);
        Ok(())
    }

    /// Target: no packet of the VM is kept or brought to a tap here. Where clients may look for it packets go after it to the
    /// source, where it stayed. Safe to repeat.
    pub(crate) async fn clear_edge(&self, spec: &Vm, source: &str) -> Result<(), Error> {
        let edge = |error| Error::internal("clearing the edge", &error);
        let address = spec.nic.address;
        if self.is_looked_for(spec)? {
            self.send_after(spec, source).await?;
            self.edge.release(address).await;
        } else {
            self.edge.unserve(address).await.map_err(edge)?;
            self.edge.route_none(address).await.map_err(edge)?;
            self.edge.discard(address);
        }
        self.edge.tap_remove(spec.id.as_str()).await.map_err(edge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::small;

    /// A VM leaves its home or goes home; anything else is refused before a byte is copied.
    #[test]
    fn a_vm_moves_from_its_home_or_to_it() {
        let vm = Vm { home: "a".parse().unwrap(), ..small("vm-a") };
        for way in [["a", "b"], ["b", "a"], ["a", "c"]] {
            Agent::refuse_abroad(&vm, way).unwrap();
        }
        let refused = Agent::refuse_abroad(&vm, ["b", "c"]).unwrap_err();
        assert!(refused.to_string().contains("move it to site a first"), "{refused}");
    }
}
