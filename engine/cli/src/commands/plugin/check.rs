//! A plugin on its own, for whoever writes it.

use std::path::Path;

use longhaul_host_rhai::RhaiHost;
use longhaul_model::diagnostic::{Code, Diagnostic, Diagnostics};
use longhaul_model::plugin::{Called, Manifest, Tree};
use longhaul_model::policy::Host as _;
use longhaul_model::source::{Source, Span};
use longhaul_model::workflow::{Files as _, beside};

use crate::commands::files::Disk;

/// What is wrong with the plugin whose `plugin.toml` this is, and with its scripts.
pub(in crate::commands) fn check(path: &Path, source: &Source) -> Diagnostics {
    read(path, source).map_or_else(|found| found, |(manifest, tree)| scripts(source, &manifest, &tree))
}

fn read(path: &Path, source: &Source) -> Result<(Manifest, Tree), Diagnostics> {
    let mistake = |message| Diagnostic::new(Code::PluginFolder, source, Span::default(), message);
    let folder =
        path.canonicalize().ok().and_then(|path| path.parent()?.file_name()?.to_str().map(str::to_owned));
    let folder = folder.unwrap_or_default();
    let called = Called::of(&folder).ok_or_else(|| {
        let one = mistake(format!("the folder is called `{folder}`, as no plugin can be"));
        one.help("call it as the plugin, or `NAME-VERSION`: lower-case letters, digits and dashes")
    })?;
    let tree = Disk.tree(source.name(), ".").map_err(mistake)?;
    Ok((Manifest::read(source, &called, &tree)?, tree))
}

fn scripts(source: &Source, manifest: &Manifest, tree: &Tree) -> Diagnostics {
    let host = RhaiHost::default();
    let mut found = Diagnostics::new();
    for policy in &manifest.policies {
        // What is no text was told with the path that names it.
        if let Ok(text) = tree.text(policy) {
            found.append(host.check(&Source::new(&beside(source.name(), policy), text)));
        }
    }
    found
}
