use longhaul_wire::failure::Class;
use longhaul_wire::v1::{PeerLink, VmFacts};

use super::*;

fn vm() -> VmId {
    "vm-a".parse().unwrap()
}

fn facts() -> VmFacts {
    VmFacts {
        id: "vm-a".into(),
        known: true,
        state: "running".into(),
        epoch: 3,
        owner: true,
        memory_bytes: 128 << 20,
        disk_bytes: 256 << 20,
        allocated_bytes: 60 << 20,
        machine_type: "pc-q35-10.0".into(),
        cpu_model: "max".into(),
        kernel_digest: "k".into(),
        initrd_digest: "i".into(),
        ..Default::default()
    }
}

fn source() -> ObserveReply {
    ObserveReply {
        site: "a".into(),
        qemu_version: "10.0.2 (Debian)".into(),
        link: Some(PeerLink { rtt_us: 50_000, bits_per_second: 95_000_000, loss_percent: 0.1 }),
        vms: vec![facts()],
        ..Default::default()
    }
}

fn target() -> ObserveReply {
    ObserveReply {
        site: "b".into(),
        disk_free_bytes: 10 << 30,
        disk_reserve_bytes: 1 << 30,
        memory_free_bytes: 4 << 30,
        qemu_version: "10.0.2 (Debian)".into(),
        machine_types: vec!["pc-q35-10.0".into()],
        cpu_models: vec!["max".into()],
        kernel_digests: vec!["k".into(), "i".into()],
        vms: vec![VmFacts {
            id: "vm-a".into(),
            state: "gone".into(),
            known: true,
            epoch: 2,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn seen(site: &str, reply: Result<ObserveReply, Error>) -> Seen {
    Seen { site: site.parse().unwrap(), reply }
}

/// What is said of these two answers.
fn refused(vms: &[VmId], source: ObserveReply, target: ObserveReply) -> Result<(), Error> {
    refuse(vms, &seen("a", Ok(source)), &seen("b", Ok(target)))
}

fn why(class: Class, message: &str) -> Option<Failure> {
    Some(class.failure(message))
}

/// A VM that runs here, fits there and was there once before may move.
#[test]
fn nothing_wrong_is_no_error() {
    assert_eq!(refused(&[vm()], source(), target()), Ok(()));
}

/// Everything that is wrong is said at once, each thing in a line of its own.
#[test]
fn all_problems_are_said_at_once() {
    let mut source = source();
    source.vms[0].state = "stopped".into();
    source.vms[0].owner = false;
    source.vms[0].moving_run = "run-7".into();
    source.vms[0].moving_controller = "east (pid 8)".into();
    source.link = None;
    let mut target = ObserveReply { site: "b".into(), qemu_version: "9.2.0".into(), ..target() };
    target.disk_free_bytes = 1 << 20;
    target.memory_free_bytes = 1 << 20;
    target.machine_types.clear();
    target.cpu_models.clear();
    target.kernel_digests.clear();
    target.vms[0].state = "running".into();
    target.vms[0].epoch = 4;
    let error = refused(&[vm(), "vm-x".parse().unwrap()], source, target).unwrap_err();
    assert_eq!(error.class, ErrorClass::Precondition);
    insta::assert_snapshot!(error.message);
}

/// What a site cannot say is said with the reason, and hides neither what it can say nor what the other says.
#[test]
fn what_is_not_known_hides_nothing() {
    let mut source = source();
    source.vms[0].state = "stopped".into();
    source.vms.push(VmFacts {
        id: "vm-y".into(),
        failure: why(Class::Permanent, "line 1 is bad\nline 2 is worse"),
        ..facts()
    });
    source.link = None;
    source.link_failure = why(Class::Unreachable, "no tunnel");
    source.qemu_version.clear();
    source.qemu_failure = why(Class::Precondition, "no such program");
    let mut target = target();
    target.disk_failure = why(Class::Internal, "statvfs failed");
    target.disk_free_bytes = 0;
    target.memory_failure = why(Class::Internal, "no /proc");
    target.memory_free_bytes = 0;
    target.qemu_failure = why(Class::Internal, "no answer in time");
    (target.qemu_version, target.machine_types, target.cpu_models) = Default::default();
    target.boot_failure = why(Class::Internal, "unreadable");
    target.kernel_digests.clear();
    target.vms[0].state = "running".into();
    let error = refused(&[vm(), "vm-y".parse().unwrap()], source, target).unwrap_err();
    assert_eq!(error.class, ErrorClass::Precondition);
    insta::assert_snapshot!(error.message);
}

/// A site that does not answer does not hide what the other one says.
#[test]
fn a_silent_site_hides_nothing() {
    let silent = |site: &str| {
        seen(
            site,
            Err(Error::new(ErrorClass::Unreachable, format!("the agent of site {site} does not answer"))),
        )
    };
    let mut ours = source();
    ours.vms[0].state = "stopped".into();
    let error = refuse(&[vm()], &seen("a", Ok(ours)), &silent("b")).unwrap_err();
    insta::assert_snapshot!(error.message, @r"
    2 problems:
    - the agent of site b does not answer
    - vm-a is stopped at site a: it has to run there to be moved
    ");
    let mut theirs = target();
    theirs.vms[0].state = "running".into();
    let error = refuse(&[vm()], &silent("a"), &seen("b", Ok(theirs))).unwrap_err();
    insta::assert_snapshot!(error.message, @r"
    2 problems:
    - the agent of site a does not answer
    - site b has a VM named vm-a already, running
    ");
    let error = refuse(&[vm()], &silent("a"), &silent("b")).unwrap_err();
    assert_eq!(error.class, ErrorClass::Unreachable);
}

/// What stays the longest gives the class: a dead link alone is tried again, with a certificate that is refused beside it it
/// is not.
#[test]
fn the_class_is_that_of_what_stays() {
    let unreachable = ObserveReply { link: None, link_failure: why(Class::Unreachable, "cut"), ..source() };
    let error = refused(&[vm()], unreachable.clone(), target()).unwrap_err();
    assert_eq!(error.class, ErrorClass::Unreachable);
    assert_eq!(error.message, "site a cannot reach site b: cut");
    let stranger = Err(Error::new(ErrorClass::Auth, "site/c answered"));
    let error = refuse(&[vm()], &seen("a", Ok(unreachable)), &seen("b", stranger)).unwrap_err();
    assert_eq!(error.class, ErrorClass::Auth);
}

/// A VM that another run moves is a conflict that names the run and its controller.
#[test]
fn another_run_is_a_conflict() {
    let mut source = source();
    source.vms[0].moving_run = "run-7".into();
    source.vms[0].moving_controller = "east (pid 8)".into();
    let error = refused(&[vm()], source, target()).unwrap_err();
    assert_eq!(error.class, ErrorClass::Conflict);
    assert!(error.message.contains("run-7") && error.message.contains("east (pid 8)"), "{error}");
}

/// What a site keeps in reserve is not there for VMs, and a reserve larger than all that is free leaves nothing.
#[test]
fn a_reserve_is_not_for_vms() {
    for (reserve, fine) in [(256 << 20, true), ((256 << 20) + 1, false), (u64::MAX, false)] {
        let target = ObserveReply { disk_free_bytes: 512 << 20, disk_reserve_bytes: reserve, ..target() };
        assert_eq!(refused(&[vm()], source(), target).is_ok(), fine, "{reserve}");
    }
}

/// Newer and equal QEMUs are fine at the target, older and unreadable ones are not.
#[test]
fn the_target_must_not_be_older() {
    for (theirs, fine) in [("10.0.1", true), ("10.1.0", true), ("9.2.4", false), ("", false)] {
        let target = ObserveReply { qemu_version: theirs.into(), ..target() };
        assert_eq!(refused(&[vm()], source(), target).is_ok(), fine, "{theirs:?}");
    }
}

/// A copy that is kept at the target has its room already.
#[test]
fn a_kept_copy_needs_no_second_room() {
    let full = |copy: u64| {
        let mut full = target();
        full.disk_free_bytes = full.disk_reserve_bytes + (56 << 20);
        full.vms[0].copy = Some(longhaul_wire::v1::Copy { present_bytes: copy, ..Default::default() });
        full
    };
    assert_eq!(refused(&[vm()], source(), full(200 << 20)), Ok(()));
    let error = refused(&[vm()], source(), full(199 << 20)).unwrap_err();
    assert!(error.message.contains("57 MiB of disk are needed"), "{error}");
}
