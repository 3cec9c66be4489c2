//! What the preflight finds wrong is said at once, and before anything is copied.

use longhaul_lab::place::Side;

use super::rig::{Rig, take_name_at_b, turn};

/// A VM that does not run, a name that is taken and boot files that are missing: one failure of the first step names all of
/// them, and the target holds nothing more than before.
#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let Some(_turn) = turn() else { return };
    let rig = Rig::new("mvwrong");
    let target = rig.lab.files().agent(Side::B);
    take_name_at_b(&rig.lab);
    rig.expect(&["vm", "start", "vm-a", "--site", "b"], 0);
    rig.expect(&["vm", "stop", "vm-a", "--site", "b"], 0);
    rig.expect(&["vm", "stop", "vm-a", "--site", "a"], 0);
    for file in std::fs::read_dir(target.join("boot")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let disks = || {
        let entries = std::fs::read_dir(target.join("disks")).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = disks();
    let (code, said) = Rig::finish(rig.start("run-wrong"), "run-wrong");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("preflight: failed: 4 problems:"), "{said}");
    for word in [
        "vm-a is stopped at site a: it has to run there to be moved",
        "site b has a VM named vm-a already",
        "site b lacks the kernel of vm-a",
        "site b lacks the initrd of vm-a",
    ] {
        assert!(said.contains(word), "no `{word}` in\n{said}");
    }
    assert_eq!(disks(), before);
}
