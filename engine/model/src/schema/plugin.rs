//! The schema of `plugins`: in a workflow, and in a file that others include.

use serde_json::{Value, json};

use super::parts::{map_of, means, step_id_form};
use crate::workflow::plugin::PLUGINS_MAX;

/// A plugin's name, as far as `@`.
const NAME: &str = "[a-z]([a-z0-9-]{0,38}[a-z0-9])?";
/// A whole number without needless zeros.
const NUMBER: &str = "(0|[1-9][0-9]*)";
/// Whatever number.
const ANY: &str = "[*xX]";
/// What may stand behind a `-` in a version, between dots.
const BEFORE_RELEASE: &str = "(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)";
/// The same behind a `+`.
const BUILD: &str = "[0-9A-Za-z-]+";

/// `plugins`.
pub(super) fn plugins() -> Value {
    let extra = format!(r"(-{BEFORE_RELEASE}(\.{BEFORE_RELEASE})*)?(\+{BUILD}(\.{BUILD})*)?");
    let version = format!(r"{NUMBER}(\.{ANY}(\.{ANY})?|\.{NUMBER}(\.{ANY}|\.{NUMBER}{extra})?)?");
    let bound = format!(r"\s*(=|>=?|<=?|~|\^)?\s*{version}\s*");
    let plugin = json!({
        "type": "string",
        "title": "plugin and range of versions",
        "pattern": format!(r"^{NAME}@(\s*{ANY}\s*|{bound}(,{bound})*)$"),
        "examples": ["bigip@^1", "bigip@~1.2", "bigip@>=1.2, <3"],
    });
    let mut plugins = map_of(step_id_form(), &plugin);
    plugins["maxProperties"] = json!(PLUGINS_MAX);
    means(
        "Plugins that the file uses, by what it calls them: name and range of versions; `longhaul plugin lock` writes which \
         is meant",
        plugins,
    )
}
