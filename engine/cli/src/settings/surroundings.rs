//! The environment, the user and the folders that follow from them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Origin, Setting};

/// The variables that mean something to the product, and who runs it.
#[derive(Debug)]
pub(crate) struct Surroundings {
    variables: BTreeMap<String, OsString>,
    is_root: bool,
}

impl Surroundings {
    pub(crate) fn of_this_process() -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        // The owner of a process's own folder is its effective user.
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        Self { variables: variables.collect(), is_root }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(is_root: bool, home: &str, variables: &[(&str, &str)]) -> Self {
        let home = [("HOME", home)];
        let all = home.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).into()));
        Self { variables: all.collect(), is_root }
    }

    /// A variable that holds a path; an empty one counts as not set.
    pub(crate) fn path(&self, name: &'static str) -> Option<Setting<PathBuf>> {
        let value = self.variables.get(name).filter(|value| !value.is_empty())?;
        Some(Setting { value: value.into(), origin: Origin::Variable(name) })
    }

    /// A variable that holds text; an empty one counts as not set.
    pub(crate) fn text(&self, name: &'static str) -> Option<Setting<String>> {
        let value = self.variables.get(name)?.to_str().filter(|value| !value.is_empty())?;
        Some(Setting { value: value.to_owned(), origin: Origin::Variable(name) })
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    /// Where the state is unless somebody says otherwise.
    pub(crate) fn state_folder(&self) -> PathBuf {
        if self.is_root { "/var/lib/longhaul".into() } else { self.xdg("XDG_STATE_HOME", ".local/state") }
    }

    /// Where `config.yaml` and `sites.yaml` are.
    pub(crate) fn config_folder(&self) -> PathBuf {
        if let Some(folder) = self.path("LONGHAUL_CONFIG") {
            return folder.value;
        }
        if self.is_root { "/etc/longhaul".into() } else { self.xdg("XDG_CONFIG_HOME", ".config") }
    }

    fn xdg(&self, variable: &'static str, below_home: &str) -> PathBuf {
        let folder = self.path(variable).map(|setting| setting.value);
        let home = || self.path("HOME").map_or_else(|| PathBuf::from("."), |home| home.value);
        folder.unwrap_or_else(|| home().join(below_home)).join("longhaul")
    }
}
