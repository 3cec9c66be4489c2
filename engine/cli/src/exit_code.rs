//! What the process says with its exit code. These numbers are a contract: scripts read them.

/// It went well; a run: everything it was to do is done.
pub const OK: u8 = 0;
/// It failed; a run: everything it had done was undone, and the VMs are where they were.
pub const FAILED: u8 = 1;
/// The command line is not right; nothing was started. clap uses the same number.
pub const USAGE: u8 = 2;
/// A file is not right (workflow, sites, site, VM, inputs, configuration); nothing was started.
pub const INVALID_FILE: u8 = 3;
/// A check said no: a journal that does not verify, a plan that its deadline leaves no time for, a demo whose verdict is red, a missed aim of a benchmark, a file that
/// `fmt --check` or `plugin lock --check` would change, a plugin that is not what was locked. A run whose
/// site check says no ends with [`FAILED`], as with any other step that fails.
pub const CHECK_FAILED: u8 = 4;
/// A run ended with some VMs moved and others back where they were.
pub const PARTIAL: u8 = 5;
/// A run stopped where only a person can decide or repair, and can be resumed afterwards; or it has done every step, and a
/// guest that died right after its hand-over has to be booted.
pub const NEEDS_OPERATOR: u8 = 6;
/// `longhaul status RUN`: the run is under way. A script can ask again; no command that drives a run ends so.
pub const RUNNING: u8 = 7;
/// `longhaul run`: a policy denied the plan; nothing was started. `longhaul plan`: a policy would.
pub const DENIED: u8 = 8;
/// Interrupted. A run can be resumed. 128 and the number of SIGINT, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Every code and what it means, for the reference.
pub const ALL: [(u8, &str); 10] = [
    (OK, "it went well; a run: everything it was to do is done"),
    (FAILED, "it failed; a run: everything it had done was undone"),
    (USAGE, "the command line is not right"),
    (INVALID_FILE, "a file is not right; nothing was started"),
    (
        CHECK_FAILED,
        "a check said no, such as a journal that does not verify, or a deadline that a plan does not keep; not a run's site check, which is 1",
    ),
    (PARTIAL, "a run ended with some VMs moved and others back where they were"),
    (
        NEEDS_OPERATOR,
        "only a person can decide, repair or boot what a run left; `longhaul status RUN` says what to do",
    ),
    (RUNNING, "only `longhaul status RUN`: the run is under way; ask again later"),
    (DENIED, "a policy denies the plan; nothing was started"),
    (
        INTERRUPTED,
        "interrupted, or no controller works on a run that is not over; `longhaul resume RUN` goes on",
    ),
];
