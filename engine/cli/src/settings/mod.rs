//! What the commands need to know about their surroundings, and where each answer came from.
//!
//! ```text
//!   flag  >  LONGHAUL_* variable  >  config.yaml of the configuration folder  >  default
//! ```
//!
//! Nothing else in the product reads the environment or the home directory.

mod config_file;
mod origin;
mod surroundings;

use std::path::{Path, PathBuf};

use longhaul_model::diagnostic::Diagnostics;
use longhaul_model::site::Sites;
use longhaul_model::source::Source;

use crate::args::Global;
use crate::errors::{Explain as _, Failure, Result};
use crate::{exit_code, output};

pub(crate) use origin::{Origin, Setting};
pub(crate) use surroundings::Surroundings;

use config_file::ConfigFile;
pub(crate) use config_file::Retention;

/// The settings of this process.
#[derive(Debug)]
pub(crate) struct Settings {
    state: Setting<PathBuf>,
    sites: Setting<PathBuf>,
    log: Option<Setting<String>>,
    config: PathBuf,
    retention: Retention,
    shell: PathBuf,
}

impl Settings {
    /// Reads variables and configuration file.
    pub(crate) fn read(flags: &Global) -> Result<Self> {
        let surroundings = Surroundings::of_this_process();
        let file = ConfigFile::read(&surroundings.config_folder().join("config.yaml"))?;
        Ok(Self::decide(flags, &surroundings, &file))
    }

    fn decide(flags: &Global, around: &Surroundings, file: &ConfigFile) -> Self {
        let state = Setting::flag(flags.state.clone())
            .or_else(|| around.path("LONGHAUL_STATE"))
            .or_else(|| file.state())
            .unwrap_or_else(|| Setting::default(around.state_folder()));
        let sites = Setting::flag(flags.sites.clone())
            .or_else(|| around.path("LONGHAUL_SITES"))
            .or_else(|| file.sites())
            .unwrap_or_else(|| Setting::default(default_sites(around)));
        let shell = around.path("SHELL").map_or_else(|| PathBuf::from("/bin/sh"), |shell| shell.value);
        let (log, retention) = (around.text("LONGHAUL_LOG"), file.retention());
        Self { state, sites, log, config: file.path().to_owned(), retention, shell }
    }

    /// The state directory.
    pub(crate) fn state(&self) -> &Path {
        &self.state.value
    }

    /// Where the journal and the controller's lock are.
    pub(crate) fn controller(&self) -> PathBuf {
        self.state().join("controller")
    }

    /// Where the built-in certificate authority is.
    pub(crate) fn pki(&self) -> PathBuf {
        self.state().join("pki")
    }

    /// How long runs are kept that are over.
    pub(crate) fn retention(&self) -> Retention {
        self.retention
    }

    /// The user's shell.
    pub(crate) fn shell(&self) -> &Path {
        &self.shell
    }

    /// Exact log filters, if somebody gave some.
    pub(crate) fn log(&self) -> Option<&str> {
        self.log.as_ref().map(|log| log.value.as_str())
    }

    /// The path of the inventory, whether it is there or not.
    pub(crate) fn sites_path(&self) -> &Path {
        &self.sites.value
    }

    /// The inventory.
    pub(crate) fn inventory(&self) -> Result<Sites> {
        const ADVICE: &str =
            "name one with --sites or LONGHAUL_SITES; `longhaul lab up` writes one for its lab";
        let path = self.sites_path();
        let text = std::fs::read_to_string(path);
        let text = text.doing(exit_code::INVALID_FILE, || format!("read the inventory {}", path.display()));
        let source =
            Source::new(&path.display().to_string(), &text.map_err(|failure| failure.advise(ADVICE))?);
        longhaul_model::parse_sites(&source).map_err(|diagnostics| invalid(&diagnostics))
    }

    /// Every setting as name, value and origin.
    pub(crate) fn show(&self) -> Vec<(&'static str, String, String)> {
        let path = |name, setting: &Setting<PathBuf>| {
            (name, setting.value.display().to_string(), setting.origin.to_string())
        };
        let log = self.log.as_ref().map_or(("-".to_owned(), Origin::Default.to_string()), |log| {
            (log.value.clone(), log.origin.to_string())
        });
        let kept = |value: Option<String>| match value {
            Some(value) => (value, Origin::File(self.config.clone()).to_string()),
            None => ("-".to_owned(), Origin::Default.to_string()),
        };
        let keep_for = kept(self.retention.keep_runs_for.map(|time| time.to_string()));
        let keep = kept(self.retention.keep_runs.map(|number| number.to_string()));
        vec![
            path("state", &self.state),
            path("sites", &self.sites),
            ("log", log.0, log.1),
            ("keep_runs_for", keep_for.0, keep_for.1),
            ("keep_runs", keep.0, keep.1),
            ("config", self.config.display().to_string(), Origin::Default.to_string()),
        ]
    }
}

/// The inventory of the folder one works in, if it has one, else that of the configuration folder.
fn default_sites(around: &Surroundings) -> PathBuf {
    let here = PathBuf::from("sites.yaml");
    if around.exists(&here) { here } else { around.config_folder().join("sites.yaml") }
}

/// Shows every mistake of a file, and makes the command's failure of them.
pub(crate) fn invalid(diagnostics: &Diagnostics) -> Failure {
    output::talk(diagnostics.render(output::has_terminal()));
    mistakes(diagnostics)
}

/// The failure of a command whose files' mistakes have been shown.
pub(crate) fn mistakes(diagnostics: &Diagnostics) -> Failure {
    let count = diagnostics.len();
    Failure::said(exit_code::INVALID_FILE, format!("{count} mistake{}", if count == 1 { "" } else { "s" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::LogFormat;

    fn flags(state: Option<&str>) -> Global {
        Global { state: state.map(Into::into), sites: None, verbose: 0, log_format: LogFormat::Text }
    }

    fn around(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings::for_tests(false, "/home/u", variables)
    }

    /// A flag wins over a variable, a variable over the file, the file over the default, and each says where it is from.
    #[test]
    fn precedence_is_flag_variable_file_default() {
        let file = ConfigFile::for_tests("/c/config.yaml", &[("state", "/from-file")]);
        let nothing = ConfigFile::for_tests("/c/config.yaml", &[]);
        let variable = [("LONGHAUL_STATE", "/from-variable")];
        let cases = [
            (flags(Some("/from-flag")), around(&variable), &file, "/from-flag", "flag"),
            (flags(None), around(&variable), &file, "/from-variable", "LONGHAUL_STATE"),
            (flags(None), around(&[]), &file, "/from-file", "/c/config.yaml"),
            (flags(None), around(&[]), &nothing, "/home/u/.local/state/longhaul", "default"),
        ];
        for (flags, around, file, value, origin) in cases {
            let settings = Settings::decide(&flags, &around, file);
            assert_eq!(settings.state(), Path::new(value));
            assert_eq!(settings.show()[0].2, origin);
        }
    }

    /// Root's state is in /var/lib, and XDG folders are honoured for everybody else.
    #[test]
    fn the_state_folder_depends_on_who_runs() {
        let file = ConfigFile::for_tests("/c/config.yaml", &[]);
        let root = Surroundings::for_tests(true, "/root", &[("XDG_STATE_HOME", "/x")]);
        assert_eq!(Settings::decide(&flags(None), &root, &file).state(), Path::new("/var/lib/longhaul"));
        let user = around(&[("XDG_STATE_HOME", "/x")]);
        assert_eq!(Settings::decide(&flags(None), &user, &file).state(), Path::new("/x/longhaul"));
    }
}
