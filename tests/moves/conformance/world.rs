//! One lab for all subjects: the actions as the CLI makes them, faults, and where to look for effects.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use longhaul_lab::place::{Place, Side};
use longhaul_lab::{addresses, client};
use longhaul_model::Source;
use longhaul_model::ids::{RunId, StepPath};
use longhaul_model::site::Sites;
use longhaul_step::{Action, Context, Error, Key, Outcome, Poll, RunRecords, Started};
use longhaul_steps::native_registry;
use longhaul_wire::pki::Credentials;
use longhaul_wire::tls::Connector;
use serde_json::Value;

use super::line::Line;
use crate::moves::small::ground::Ground;
use crate::moves::small::processes::{AGENT, SOON, wait};

/// A lab whose guest runs at A, and a line to each of its agents.
pub(super) struct World {
    pub(super) ground: Ground,
    lines: [Line; 2],
    sites: Sites,
    connector: Connector,
    runs: AtomicU32,
}

impl World {
    pub(super) fn new(name: &str) -> Self {
        let ground = Ground::new(name);
        ground.boot(Side::A).unwrap();
        let inventory = std::fs::read_to_string(ground.lab.files().sites()).unwrap();
        let mut sites = longhaul_model::parse_sites(&Source::new("sites.yaml", &inventory)).unwrap();
        let lines = Side::BOTH.map(|side| Line::to(ground.lab.management_address(side)));
        for (site, line) in sites.sites.iter_mut().zip(&lines) {
            site.address = line.address();
        }
        let pki = &sites.pki;
        let connector = Connector::new(Credentials {
            ca: pki.ca.clone(),
            certificate: pki.certificate.clone(),
            key: pki.key.clone(),
        });
        Self { ground, lines, connector: connector.unwrap(), sites, runs: AtomicU32::new(0) }
    }

    /// The action as a controller has it that was just started.
    pub(super) fn action(&self, name: &str) -> Arc<dyn Action> {
        let registry = native_registry(&self.sites, self.connector.clone(), Path::new(""));
        Arc::clone(registry.get(&name.parse().unwrap()).unwrap())
    }

    /// The run that the kit asks for now.
    pub(super) fn run(&self) -> RunId {
        format!("run-kit-{}", self.runs.load(Ordering::SeqCst)).parse().unwrap()
    }

    /// Agents remember what they were asked for: the next run is one that they never heard of.
    pub(super) fn next_run(&self) {
        self.runs.fetch_add(1, Ordering::SeqCst);
    }

    /// Who asks when the kit does not: to bring about what an effect stands on, and to clear up after it.
    pub(super) fn context(&self, step: &str) -> Context {
        let step = StepPath::root(&step.parse().unwrap());
        let key = Key { run: self.run(), step, incarnation: 0 };
        Context {
            key,
            attempt: 1,
            controller: "conformance".to_owned(),
            generation: 1,
            records: Arc::new(NoRecords),
            claims: longhaul_step::Claims::new(),
        }
    }

    pub(super) fn kill_agent(&self, side: Side) {
        assert_eq!(self.ground.kill(side, AGENT), Ok(1), "{side:?}");
    }

    /// Starts the agents that were killed, and opens the lines.
    pub(super) fn mend(&self) {
        for side in Side::BOTH {
            if self.ground.processes(side, AGENT) == 0 {
                self.ground.start_agent(side).unwrap();
            }
            self.lines[side as usize].open();
        }
    }

    /// From now on a site's agent is reached so many times more, each time by a controller that was just started.
    pub(super) fn shut_line(&self, side: Side, connections: u32) {
        self.lines[side as usize].shut_after(connections);
    }

    /// Makes the disk take seconds to copy, or next to no time.
    pub(super) fn slow(&self, slow: bool) {
        self.ground.slow(slow);
    }

    /// Restarts B's agent with another file of its site.
    pub(super) fn restart_b_with(&self, site: &str) {
        std::fs::write(self.ground.lab.files().site(Side::B), site).unwrap();
        self.kill_agent(Side::B);
        self.mend();
    }

    /// What each site's DNS server answers for the guest, A first; `None` from one that does not know it or is not there.
    pub(super) fn answers(&self) -> [Option<client::Answer>; 2] {
        let name = format!("{}.{}", self.ground.lab.vm(), addresses::ZONE);
        Side::BOTH.map(|side| {
            let server = (addresses::edge(side), addresses::DNS_PORT).into();
            self.ground.lab.netns(Place::Client).run(|| client::query(server, &name)).unwrap().ok()
        })
    }

    /// TCP connections between the sites that are established, as A's kernel lists them.
    pub(super) fn connections(&self) -> usize {
        let table = || std::fs::read_to_string("/proc/thread-self/net/tcp");
        let table = self.ground.lab.netns(Place::Site(Side::A)).run(table).unwrap().unwrap();
        let far = u32::from_le_bytes(addresses::wan(Side::B).octets());
        let far = format!("{far:08X}:{:04X}", addresses::AGENT_PORT);
        let fields =
            |line: &str| line.split_whitespace().skip(2).take(2).map(str::to_owned).collect::<Vec<_>>();
        table.lines().filter(|line| fields(line) == [far.as_str(), "01"]).count()
    }

    /// Waits until something is in the world. What never comes is the kit's to find.
    pub(super) fn wait(&self, holds: impl FnMut() -> bool) {
        wait(SOON, holds);
    }

    /// Brings about what an effect stands on, in the name of the present run.
    pub(super) async fn bring_about(&self, action: &str, step: &str, params: &Value) {
        let (context, action) = (self.context(step), self.action(action));
        let Started::Running(handle) = action.start(&context, params).await else { panic!("{step}") };
        let until = Instant::now() + SOON;
        loop {
            match action.poll(&context, &handle, SOON).await {
                Poll::Running(_) if Instant::now() < until => {}
                Poll::Ended(Outcome::Done(_)) => return,
                other => panic!("{step}: {other:?}"),
            }
        }
    }

    /// Takes an effect away in the name of the present run, and asserts that it is gone.
    pub(super) async fn clear(&self, action: &str, step: &str, params: &Value, left: impl Fn() -> bool) {
        let undone = self.action(action).compensate(&self.context(step), params, None).await;
        assert!(undone.is_ok() && !left(), "undoing {action} said {undone:?}; is it left: {}", left());
    }
}

/// A run without records.
struct NoRecords;

impl RunRecords for NoRecords {
    fn records(&self) -> Result<Vec<Value>, Error> {
        Ok(Vec::new())
    }
}
