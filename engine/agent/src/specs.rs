//! The specifications of VMs at this site: the files `vms/ID.yaml`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use longhaul_model::Source;
use longhaul_model::ids::VmId;
use longhaul_model::vm::Vm;

use crate::error::{Class, Error};

/// Reads and writes the specifications.
#[derive(Debug, Clone)]
pub(crate) struct Specs {
    folder: PathBuf,
    /// Held while one is written: two operations may both be the first to hear of a VM.
    writing: Arc<Mutex<()>>,
}

impl Specs {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), writing: Arc::default() }
    }

    fn path(&self, vm: &VmId) -> PathBuf {
        self.folder.join(format!("{vm}.yaml"))
    }

    /// The specification of a VM that this site must know.
    pub(crate) fn get(&self, vm: &str) -> Result<Vm, Error> {
        self.find(vm)?.ok_or_else(|| {
            let message = format!(
                "no vm `{vm}` at this site: there is no {}",
                self.folder.join(format!("{vm}.yaml")).display()
            );
            Error::new(Class::Precondition, message)
        })
    }

    /// The specification of a VM, if this site knows one.
    pub(crate) fn find(&self, vm: &str) -> Result<Option<Vm>, Error> {
        let id: VmId = vm.parse().map_err(|error| Error::new(Class::Permanent, format!("{error}")))?;
        match std::fs::read_to_string(self.path(&id)) {
            Ok(text) => read(&self.path(&id), &text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::internal(&format!("reading {}", self.path(&id).display()), &error)),
        }
    }

    /// Every VM this site knows.
    pub(crate) fn all(&self) -> Result<Vec<Vm>, Error> {
        let entries =
            std::fs::read_dir(&self.folder).map_err(|error| Error::internal("listing vms", &error))?;
        let mut ids: Vec<String> = entries
            .filter_map(|entry| {
                entry.ok()?.file_name().into_string().ok()?.strip_suffix(".yaml").map(str::to_owned)
            })
            .collect();
        ids.sort();
        ids.iter().filter_map(|id| self.find(id).transpose()).collect()
    }

    /// Stores a specification that another site sent; the VM's own id must be `vm`. A file that says the same stays as it is.
    pub(crate) fn store(&self, vm: &str, text: &str) -> Result<Vm, Error> {
        let spec = read(Path::new(vm), text)?;
        if spec.id.as_str() != vm {
            return Err(Error::new(
                Class::Permanent,
                format!("asked for vm {vm}, got the specification of {}", spec.id),
            ));
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(self.find(vm), Ok(Some(known)) if known == spec) {
            return Ok(spec);
        }
        let write = || {
            let mut file = std::fs::File::create(self.path(&spec.id).with_extension("new"))?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(self.path(&spec.id).with_extension("new"), self.path(&spec.id))
        };
        write().map_err(|error| Error::internal("storing a specification", &error))?;
        Ok(spec)
    }
}

fn read(path: &Path, text: &str) -> Result<Vm, Error> {
    let source = Source::new(&path.display().to_string(), text);
    longhaul_model::parse_vm(&source)
        .map_err(|diagnostics| Error::new(Class::Permanent, diagnostics.to_string()))
}
