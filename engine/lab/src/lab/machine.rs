//! What a lab needs of the machine it stands on: root, and programs of other packages.

use std::process::{Command, Stdio};

use super::running::Error;

/// A program that a lab calls, and how it is asked for its version.
struct Program {
    name: &'static str,
    version: &'static str,
    /// Debian's package of it.
    package: &'static str,
}

const PROGRAMS: [Program; 4] = [
    Program { name: "qemu-system-x86_64", version: "--version", package: "qemu-system-x86" },
    Program { name: "busybox", version: "--help", package: "busybox-static" },
    Program { name: "mkfs.ext4", version: "-V", package: "e2fsprogs" },
    Program { name: "nft", version: "--version", package: "nftables" },
];

/// Refuses to work without root: namespaces need it.
///
/// # Errors
/// Without root.
pub fn require_root() -> Result<(), Error> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(Error::NotRoot) }
}

/// Refuses a machine that cannot carry a lab: without root, or without a program that a site or its guest needs. Names
/// everything that is missing at once.
///
/// # Errors
/// What is missing, and how to get it.
pub fn require_machine() -> Result<(), Error> {
    require_root()?;
    missing(&PROGRAMS)
}

fn missing(programs: &[Program]) -> Result<(), Error> {
    let absent: Vec<&Program> = programs.iter().filter(|program| !is_there(program)).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let join = |word: fn(&Program) -> &str| absent.iter().map(|program| word(program)).collect::<Vec<_>>();
    Err(Error::Programs {
        names: join(|program| program.name).join(", "),
        packages: join(|program| program.package).join(" "),
    })
}

fn is_there(program: &Program) -> bool {
    let mut asked = Command::new(program.name);
    asked.arg(program.version).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is missing is named at once with its package, and nothing that is there.
    #[test]
    fn missing_programs_are_named() {
        let gone = |name, package| Program { name, version: "-V", package };
        let here = Program { name: "true", version: "--version", package: "coreutils" };
        let said = missing(&[gone("no-such-qemu", "qemu-x"), here, gone("no-such-nft", "nft-y")]);
        let said = said.unwrap_err().to_string();
        assert!(said.contains("no-such-qemu, no-such-nft: "), "{said}");
        assert!(said.contains("apt-get install qemu-x nft-y") && !said.contains("coreutils"), "{said}");
        assert!(missing(&[]).is_ok());
    }
}
