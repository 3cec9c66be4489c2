//! Reading and writing PEM files.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::Error;

/// Mode of certificates: public.
pub(super) const PUBLIC: u32 = 0o644;
/// Mode of private keys: their owner alone.
pub(super) const PRIVATE: u32 = 0o600;

pub(super) fn read(path: &Path, hint: &'static str) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), hint, source })
}

/// Writes beside the file and renames, so that a reader or a power cut never meets half a key.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let result = write_and_rename(path, text, mode);
    result.map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn write_and_rename(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let fresh = path.with_added_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
