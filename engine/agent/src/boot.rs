//! The boot files of this site: kernels and initial RAM disks, each under the SHA-256 of its content.
//!
//! A name is a claim. It counts only when the content was hashed and says the same: a copy that broke off has the right name too.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use longhaul_model::vm::Vm;
use sha2::{Digest as _, Sha256};

use crate::error::{Class, Error};

/// A file that changed less long ago is hashed every time: the clock of a file system ticks in milliseconds to two seconds, and
/// within one tick a second change leaves no trace.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// Looks at the boot files. Cheap to clone; all clones remember the same.
#[derive(Debug, Clone)]
pub(crate) struct BootFiles {
    folder: PathBuf,
    /// What was hashed. Held while a file is hashed, so that whoever asks for the same file meanwhile finds it.
    known: Arc<Mutex<HashMap<PathBuf, Hashed>>>,
}

#[derive(Debug)]
struct Hashed {
    stamp: Stamp,
    digest: String,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    bytes: u64,
    inode: u64,
}

impl BootFiles {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), known: Arc::default() }
    }

    /// The digests of the files that are what their names say, in order.
    pub(crate) async fn digests(&self) -> Result<Vec<String>, Error> {
        self.apart(|files| files.true_names().map_err(|error| Error::internal("listing boot files", &error)))
            .await
    }

    /// Refuses a VM whose kernel or initial RAM disk is not here, or is here with other content.
    pub(crate) async fn check(&self, site: &str, spec: &Vm) -> Result<(), Error> {
        let (site, vm) = (site.to_owned(), spec.id.clone());
        let wanted = [("kernel", spec.boot.kernel.clone()), ("initrd", spec.boot.initrd.clone())];
        self.apart(move |files| {
            for (what, digest) in wanted {
                let folder = files.folder.display();
                let wrong = match files.digest(&files.folder.join(&digest)) {
                    Ok(found) if found == digest => continue,
                    Ok(found) => format!(
                        "site {site} has other content under the name of the {what} {digest} of vm {vm}: its SHA-256 is {found}: copy the {what} to {folder} again"
                    ),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        format!("site {site} does not have the {what} {digest} of vm {vm}: copy it to {folder}")
                    }
                    Err(error) => format!(
                        "site {site} cannot read the {what} {digest} of vm {vm} in {folder}: {error}: copy it there again"
                    ),
                };
                return Err(Error::new(Class::Precondition, wrong));
            }
            Ok(())
        })
        .await
    }

    /// Reads on a thread where that disturbs nobody.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let files = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&files)).await;
        done.unwrap_or_else(|error| Err(Error::internal("reading boot files", &error)))
    }

    fn true_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Whatever else lies there: no other name can be what a VM asks for. One that cannot be read is not there.
            if is_digest(&name) && self.digest(&entry.path()).is_ok_and(|digest| digest == name) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The SHA-256 of a file's content, hex; read once for as long as the file does not change.
    fn digest(&self, path: &Path) -> io::Result<String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let stamp = Stamp::of(&metadata);
        if let Some(hashed) = known.get(path).filter(|hashed| hashed.stamp == stamp) {
            return Ok(hashed.digest.clone());
        }
        let digest = hash(&mut file)?;
        if is_settled(&metadata) && Stamp::of(&file.metadata()?) == stamp {
            known.insert(path.to_owned(), Hashed { stamp, digest: digest.clone() });
        }
        Ok(digest)
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { modified, bytes: metadata.len(), inode: metadata.ino() }
    }
}

fn is_settled(metadata: &Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age > SETTLED_AFTER)
}

fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn hash(file: &mut File) -> io::Result<String> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
