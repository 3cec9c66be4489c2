//! The actions that steps name.

use longhaul_model::action::{ActionName, Descriptor};
use longhaul_model::diagnostic::{Code, Diagnostic, nearest};
use longhaul_model::source::Spanned;
use longhaul_model::workflow::path_meant;

use crate::check::Checker;
use crate::names::suggestion;

impl<'a> Checker<'a> {
    /// What an action says about itself; a mistake if there is none of that name.
    pub(crate) fn descriptor(&mut self, uses: &Spanned<String>) -> Option<&'a Descriptor> {
        let name: ActionName = match uses.value.parse() {
            Ok(name) => name,
            Err(error) => {
                let one = self.mistake(Code::Malformed, uses.span, format!("{error}"));
                let one = self.with_what_was_meant(one, &uses.value);
                self.found.push(one);
                return None;
            }
        };
        if let Some(descriptor) = self.catalogue.get(&name) {
            return Some(descriptor);
        }
        let names = self.action_names();
        let mut one = self.mistake(Code::UnknownAction, uses.span, format!("there is no action `{name}`"));
        one.help = suggestion(&uses.value, names.iter().map(String::as_str), "there are");
        self.found.push(one);
        None
    }

    /// The same mistake with the file or the action that a text may mean which is no action's name.
    fn with_what_was_meant(&self, one: Diagnostic, written: &str) -> Diagnostic {
        if let Some(path) = path_meant(written) {
            return one.help(format!("a workflow's file is named from this one's folder: `{path}`"));
        }
        let last = written.rsplit('/').next().unwrap_or(written);
        let kind = last.split('@').next().unwrap_or(last);
        let of_kind = self.catalogue.iter().filter(|action| action.name.kind() == kind).last();
        let names = self.action_names();
        let near = of_kind
            .map(|action| action.name.to_string())
            .or_else(|| nearest(last, names.iter().map(String::as_str)).map(str::to_owned));
        one.help(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`longhaul actions` lists them".to_owned(),
        })
    }

    fn action_names(&self) -> Vec<String> {
        self.catalogue.iter().map(|action| action.name.to_string()).collect()
    }
}
