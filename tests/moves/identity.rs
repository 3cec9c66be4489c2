//! Certificates and versions that do not fit: the run ends before anything was touched, and says why.

mod future_agent;

use std::fs;
use std::path::{Path, PathBuf};

use longhaul_lab::place::Side;
use longhaul_wire::Identity;
use longhaul_wire::pki::{Ca, Validity};

use super::rig::{Rig, shared_turn, state};
use future_agent::FutureAgent;

/// A controller of another authority, an expired one, an agent that is another site, an agent whose certificate has
/// expired and an agent of a later version: each is refused by name, no run gets past its first step, and the guest
/// serves on where it is.
#[test]
fn who_is_not_who_it_should_be_is_refused_by_name() {
    let Some(_turn) = shared_turn() else { return };
    let mut rig = Rig::new("mvident");
    let pki = rig.lab.files().pki();
    let lab = |side| rig.lab.management_address(side).to_string();
    let (a, b) = (lab(Side::A), lab(Side::B));

    let stranger = folder("stranger");
    Ca::create(&stranger).unwrap().issue(&controller(), Validity::default()).unwrap();
    // It trusts the agents; they have never heard of it.
    fs::copy(pki.join("ca.pem"), stranger.join("ca.pem")).unwrap();
    refused(&rig, "run-stranger", &inventory(&stranger, &a, &b), &["unknown authority"]);

    let expired = copy(&pki, "expired");
    Ca::open(&expired).unwrap().issue(&controller(), past()).unwrap();
    refused(&rig, "run-expired", &inventory(&expired, &a, &b), &["expired"]);

    refused(&rig, "run-swapped", &inventory(&pki, &b, &a), &["site/a", "site/b"]);

    let future = FutureAgent::start(&copy(&pki, "future"), Side::B);
    refused(&rig, "run-future", &inventory(&pki, &a, &future.address), &["7 to 9", "1 to 1"]);

    rig.kill_agent(Side::B);
    let site_b = Identity::site("b").unwrap();
    Ca::open(&pki).unwrap().issue(&site_b, past()).unwrap();
    let mut old = rig.lab.spawn_agent(Side::B).unwrap();
    rig.wait_for("the agent", |rig| rig.lab.hello(Side::B).is_err_and(|said| said.contains("expired")));
    refused(&rig, "run-old-agent", &inventory(&pki, &a, &b), &["expired"]);
    old.kill().unwrap();
    old.wait().unwrap();
    Ca::open(&pki).unwrap().issue(&site_b, Validity::default()).unwrap();
    rig.start_agent(Side::B);
    rig.assert_stayed();
}

/// The sites do not trust each other: whoever answers in the place of the target's agent is named in what the source says, in the
/// run's first step, with the source's and the controller's words side by side.
#[test]
fn sites_that_do_not_trust_each_other_say_why() {
    let Some(_turn) = shared_turn() else { return };
    let mut rig = Rig::new("mvtrust");
    let pki = rig.lab.files().pki();
    let ca = Ca::open(&pki).unwrap();
    let [b, c] = ["b", "c"].map(|id| Identity::site(id).unwrap());
    let from_a = "site a cannot reach site b: reach the agent of longhaul://site/b";

    rig.kill_agent(Side::B);
    ca.issue(&c, Validity::default()).unwrap();
    take_over(&pki.join("site-c"), &pki);
    misplaced(&rig, "run-other-site", &[from_a, "longhaul://site/c answered"]);

    ca.issue(&b, past()).unwrap();
    misplaced(&rig, "run-expired-site", &[from_a, "its certificate expired at 2020-01-01"]);

    let stranger = folder("other-authority");
    Ca::create(&stranger).unwrap().issue(&b, Validity::default()).unwrap();
    take_over(&stranger.join("site-b"), &pki);
    misplaced(&rig, "run-other-authority", &[from_a, "its certificate is not from our authority"]);

    ca.issue(&b, Validity::default()).unwrap();
    rig.start_agent(Side::B);
    rig.assert_stayed();
}

/// Puts a certificate and its key in the place of site b's.
fn take_over(stem: &Path, pki: &Path) {
    for kind in ["pem", "key"] {
        fs::copy(stem.with_added_extension(kind), pki.join("site-b").with_added_extension(kind)).unwrap();
    }
}

/// Starts site b's agent with the certificate that lies there now, and a run, which must fail and say all of `words`.
fn misplaced(rig: &Rig, run: &str, words: &[&str]) {
    let mut agent = rig.lab.spawn_agent(Side::B).unwrap();
    // It answers, and is refused: nobody takes it for an agent that is still coming up.
    rig.wait_for("the agent", |rig| rig.lab.hello(Side::B).is_err_and(|said| said.contains(words[1])));
    refused(rig, run, &rig.lab.files().sites(), words);
    agent.kill().unwrap();
    agent.wait().unwrap();
}

/// Starts a run with this inventory; it must fail in its first step, at the first try, and say all of `words`.
fn refused(rig: &Rig, run: &str, sites: &Path, words: &[&str]) {
    let (code, said) = Rig::finish(rig.start_among(sites, run), run);
    assert_eq!(code, Some(1), "{run}: {said}");
    for word in words {
        assert!(said.contains(word), "{run}: no `{word}` in\n{said}");
    }
    assert!(!said.contains("(attempt 2)"), "{run}: tried again in vain\n{said}");
    assert_eq!(rig.step(run, "preflight"), "failed", "{run}");
    assert_eq!(rig.step(run, "tunnel"), "waiting", "{run}");
}

fn controller() -> Identity {
    Identity::controller("lab").unwrap()
}

fn past() -> Validity {
    Validity::until("2020-01-01T00:00:00Z".parse().unwrap())
}

fn folder(name: &str) -> PathBuf {
    let folder = state().join("mvident-pki").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn copy(pki: &Path, name: &str) -> PathBuf {
    let copied = folder(name);
    for entry in fs::read_dir(pki).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copied.join(entry.file_name())).unwrap();
    }
    copied
}

/// An inventory of two sites, seen with the controller's certificate of a folder.
fn inventory(pki: &Path, a: &str, b: &str) -> PathBuf {
    let pki = pki.display();
    let file = folder("sites").join("sites.yaml");
    let text = format!(
        "apiVersion: longhaul/v1\nkind: Sites\nsites:\n  - {{ id: a, address: \"{a}\" }}\n  - {{ id: b, address: \"{b}\" }}\n\
         pki:\n  ca: \"{pki}/ca.pem\"\n  certificate: \"{pki}/controller-lab.pem\"\n  key: \"{pki}/controller-lab.key\"\n"
    );
    fs::write(&file, text).unwrap();
    file
}
