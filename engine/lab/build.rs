//! Compiles the guest daemon to a static binary, so that the library can embed it.
//!
//! The daemon uses the standard library alone and is linked with the C runtime: it needs no other target than the
//! host's, and nothing of the guest's file system.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=guestd");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("guestd");
    let rustc = std::env::var_os("RUSTC").expect("cargo sets RUSTC");
    let status = Command::new(rustc)
        .args(["--edition", "2024", "--crate-name", "guestd", "-O", "-C", "target-feature=+crt-static"])
        .args(["-C", "strip=symbols", "-C", "panic=abort", "-D", "warnings", "guestd/main.rs", "-o"])
        .arg(&out)
        .status()
        .expect("rustc runs");
    assert!(status.success(), "guestd does not compile: {status}");
}
