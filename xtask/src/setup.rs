//! What has to be installed before a guest can be moved on this machine, and its installation.
//!
//! Installs only what is missing, only after a yes (or without a terminal to ask on), and never changes the machine's
//! own package lists.

mod apt;

use std::io::{IsTerminal, Write};
use std::process::Command;

use anyhow::{Result, bail};

/// Whether to ask before installing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Install; the user said so, or there is nobody to ask.
    Given,
    /// Ask on the terminal.
    Ask,
}

impl Consent {
    pub(crate) fn from_flag(yes: bool) -> Self {
        if yes || !std::io::stdin().is_terminal() { Self::Given } else { Self::Ask }
    }
}

/// What a machine that cannot have the packages means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing works without them.
    Must,
    /// Some tests will be skipped, or fail on CI.
    Should,
}

/// A Debian package and the oldest version that will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Package {
    name: &'static str,
    version_min: Option<&'static str>,
}

const fn any(name: &'static str) -> Package {
    Package { name, version_min: None }
}

/// QEMU moves guests between versions only as far as their machine types go; ours is one of version 10.
const fn qemu(name: &'static str) -> Package {
    Package { name, version_min: Some("1:10.0") }
}

/// QEMU; the lab's guest, its disk and its network; the name server's and the disk server's independent witnesses;
/// what makes a disk fail under a journal; the capture on the WAN (tcpdump needs one package where tshark needs sixteen).
const PACKAGES: [Package; 10] = [
    qemu("qemu-system-x86"),
    qemu("qemu-utils"),
    any("bind9-dnsutils"),
    any("busybox-static"),
    any("e2fsprogs"),
    any("iproute2"),
    any("libnbd-bin"),
    any("nftables"),
    any("strace"),
    any("tcpdump"),
];

/// Installs what is missing.
///
/// # Errors
/// When something cannot be installed and is needed.
pub(crate) fn ensure(consent: Consent, need: Need) -> Result<()> {
    let missing: Vec<_> = PACKAGES.into_iter().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|package| package.name).collect::<Vec<_>>().join(", ");
    match install(&missing, &names, consent) {
        Err(error) if need == Need::Should => {
            eprintln!(
                "not installed: {names} ({error:#}); tests that need them are skipped, or fail with CI=true"
            );
            Ok(())
        }
        result => result,
    }
}

fn install(missing: &[Package], names: &str, consent: Consent) -> Result<()> {
    if !root() {
        bail!("these Debian packages are missing and only root can install them: {names}");
    }
    if consent == Consent::Ask && !asked(names)? {
        bail!("these Debian packages are needed: {names}");
    }
    apt::install(missing)
}

fn asked(names: &str) -> Result<bool> {
    eprint!("Missing Debian packages: {names}. Install them? [Y/n] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(agrees(&answer))
}

fn agrees(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes")
}

fn installed(package: &Package) -> bool {
    let asked =
        Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status} ${Version}", package.name]).output();
    let Ok(output) = asked else { return false };
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(version) = text.strip_prefix("installed ") else { return false };
    package.version_min.is_none_or(|oldest| new_enough(version, oldest))
}

fn new_enough(version: &str, oldest: &str) -> bool {
    let compared = Command::new("dpkg").args(["--compare-versions", version, "ge", oldest]).status();
    compared.is_ok_and(|status| status.success())
}

/// Whether this is root, who alone can install packages and make a lab.
pub(crate) fn root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Return is a yes, anything unclear is a no.
    #[test]
    fn reads_answers() {
        assert!(agrees("\n") && agrees("Y\n") && agrees("yes\n"));
        assert!(!agrees("n\n") && !agrees("what?\n"));
    }
}
