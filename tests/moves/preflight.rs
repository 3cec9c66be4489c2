//! What the preflight finds wrong is said at once, and before anything is copied.

use longhaul_lab::place::Side;

use super::rig::{Rig, shared_turn, take_name_at_b};

/// A VM that does not run, a name that is taken and boot files that are missing: one failure of the first step names all of
/// them, and the target holds nothing more than before.
#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let Some(_turn) = shared_turn() else { return };
    let rig = Rig::new("mvwrong");
    let target = rig.lab.files().agent(Side::B);
    stop_with_a_namesake(&rig);
    for file in std::fs::read_dir(target.join("boot")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let disks = || {
        let entries = std::fs::read_dir(target.join("disks")).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = disks();
    let problems =
        [NOT_RUNNING, NAME_TAKEN, "site b lacks the kernel of vm-a", "site b lacks the initrd of vm-a"];
    refused(&rig, "run-wrong", &problems);
    assert_eq!(disks(), before);
}

/// What one site cannot find out hides nothing: a link that is cut is named beside a VM that does not run and a name that is
/// taken, a specification that cannot be read beside what the other site knows.
#[test]
fn what_cannot_be_found_out_hides_nothing() {
    let Some(_turn) = shared_turn() else { return };
    let rig = Rig::new("mvhides");
    let target = rig.lab.files().agent(Side::B);
    stop_with_a_namesake(&rig);
    let file = target.join("vms/vm-a.yaml");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, "kind: Vm\nmemory: lots\n").unwrap();
    refused(&rig, "run-unreadable", &[NOT_RUNNING, "site b cannot say how vm-a stands: "]);
    std::fs::write(&file, whole).unwrap();
    rig.lab.cut().unwrap();
    refused(&rig, "run-cut", &["site a cannot reach site b: ", NOT_RUNNING, NAME_TAKEN]);
}

const NOT_RUNNING: &str = "vm-a is stopped at site a: it has to run there to be moved";
const NAME_TAKEN: &str = "site b has a VM named vm-a already";

/// The VM is switched off at the source, and the target has one of that name.
fn stop_with_a_namesake(rig: &Rig) {
    take_name_at_b(&rig.lab);
    rig.expect(&["vm", "start", "vm-a", "--site", "b"], 0);
    rig.expect(&["vm", "stop", "vm-a", "--site", "b"], 0);
    rig.expect(&["vm", "stop", "vm-a", "--site", "a"], 0);
}

/// A run ends in its first step, at the first try, with exactly these problems.
fn refused(rig: &Rig, run: &str, problems: &[&str]) {
    let (code, said) = Rig::finish(rig.start(run), run);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("preflight: failed: {} problems:", problems.len())), "{said}");
    for word in problems {
        assert!(said.contains(word), "no `{word}` in\n{said}");
    }
    assert!(!said.contains("(attempt 2)"), "tried again in vain\n{said}");
}
