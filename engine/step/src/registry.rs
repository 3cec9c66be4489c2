//! Every action this process can run.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_model::action::{ActionName, Catalogue};
use serde_json::{Map, Value};

use crate::Action;

/// The name is taken: two actions of one name would make a journal ambiguous.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("action `{0}` is registered already")]
pub struct Taken(pub ActionName);

/// Actions by name.
#[derive(Clone, Default)]
pub struct Registry {
    actions: BTreeMap<ActionName, Arc<dyn Action>>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an action.
    ///
    /// # Errors
    /// When its name is taken.
    pub fn register(&mut self, action: Arc<dyn Action>) -> Result<(), Taken> {
        let name = action.descriptor().name.clone();
        if self.actions.contains_key(&name) {
            return Err(Taken(name));
        }
        self.actions.insert(name, action);
        Ok(())
    }

    /// The action of that name.
    #[must_use]
    pub fn get(&self, name: &ActionName) -> Option<&Arc<dyn Action>> {
        self.actions.get(name)
    }

    /// What a checker needs to know of them, [`Action::check`] without facts included.
    #[must_use]
    pub fn catalogue(&self) -> Catalogue {
        let described = Catalogue::new(self.actions.values().map(|action| action.descriptor().clone()));
        self.actions.iter().fold(described, |catalogue, (name, action)| {
            let action = Arc::clone(action);
            let check = move |params: &Value| action.check(params, &Value::Object(Map::new()));
            catalogue.with_check(name.clone(), Arc::new(check))
        })
    }
}
