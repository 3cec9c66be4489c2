//! Actions made of closures, for programs that embed the engine.
//!
//! ```text
//!   Simple::new(name, summary, work)                       leaves nothing behind: after a crash it is done again
//!     .undone_by(undo).probed_by(probe)                    leaves something: undone in an unwind, asked about after a crash
//! ```
//!
//! For anything that goes on elsewhere while nobody waits for it, such as a job on a device, implement [`Action`] itself: it can
//! give a handle, and report progress.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use longhaul_model::action::{ActionName, Descriptor, Effects};
use serde_json::{Value, json};

use crate::{Action, Context, Error, ErrorClass, Handle, Key, Outcome, Poll, Probe, Started};

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Doing<T> = Arc<dyn Fn(Key, Value) -> Later<T> + Send + Sync>;

/// An action made of closures. Each is given the effect's key, which is the same however often it is asked, and the parameters.
#[derive(Clone)]
pub struct Simple {
    descriptor: Descriptor,
    work: Doing<Result<Value, Error>>,
    undo: Option<Doing<Result<(), Error>>>,
    probe: Option<Doing<Probe>>,
}

fn boxed<T, F>(work: impl Fn(Key, Value) -> F + Send + Sync + 'static) -> Doing<T>
where
    F: Future<Output = T> + Send + 'static,
{
    Arc::new(move |key, params| Box::pin(work(key, params)))
}

impl Simple {
    /// An action without effects: `work` gives its outputs, an object. An error means that it left nothing behind, as everywhere.
    pub fn new<F>(
        name: ActionName,
        summary: &str,
        work: impl Fn(Key, Value) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Value, Error>> + Send + 'static,
    {
        let object = json!({ "type": "object" });
        let descriptor = Descriptor {
            name,
            summary: summary.to_owned(),
            effects: Effects::None,
            foundation: false,
            params: object.clone(),
            outputs: object,
            errors: Vec::new(),
        };
        Self { descriptor, work: boxed(work), undo: None, probe: None }
    }

    /// The same with an effect that `undo` takes away. Undoing twice, and undoing what is not there, has to be safe.
    #[must_use]
    pub fn undone_by<F>(mut self, undo: impl Fn(Key, Value) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.descriptor.effects = Effects::Reversible;
        self.undo = Some(boxed(undo));
        self
    }

    /// The same with somebody who can say whether the effect is there. Without, a run that died over such an effect stops for an
    /// operator.
    #[must_use]
    pub fn probed_by<F>(mut self, probe: impl Fn(Key, Value) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Probe> + Send + 'static,
    {
        self.probe = Some(boxed(probe));
        self
    }

    /// The same with JSON Schemas (2020-12) of its parameters and outputs: workflows are checked against them.
    #[must_use]
    pub fn with_schemas(mut self, params: Value, outputs: Value) -> Self {
        (self.descriptor.params, self.descriptor.outputs) = (params, outputs);
        self
    }
}

#[async_trait::async_trait]
impl Action for Simple {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Nothing is done before the handle, which is the parameters, is durable.
    async fn start(&self, _: &Context, params: &Value) -> Started {
        Started::Running(Handle(params.to_string()))
    }

    async fn poll(&self, context: &Context, handle: &Handle, _: Duration) -> Poll {
        let params = serde_json::from_str(&handle.0).unwrap_or_default();
        Poll::Ended(match (self.work)(context.key.clone(), params).await {
            Ok(outputs) => Outcome::Done(outputs),
            Err(error) => Outcome::Failed(error),
        })
    }

    async fn probe(&self, context: &Context, params: &Value) -> Probe {
        match (&self.probe, self.descriptor.effects) {
            (Some(probe), _) => probe(context.key.clone(), params.clone()).await,
            (None, Effects::None) => Probe::Absent,
            (None, Effects::Reversible | Effects::Irreversible) => Probe::CannotTell(Error::new(
                ErrorClass::Permanent,
                "nobody can say whether its effect is there",
            )),
        }
    }

    /// Work in this process comes to its own end.
    async fn cancel(&self, _: &Context, _: &Handle) -> Result<(), Error> {
        Ok(())
    }

    async fn compensate(&self, context: &Context, params: &Value, _: Option<&Value>) -> Result<(), Error> {
        match &self.undo {
            Some(undo) => undo(context.key.clone(), params.clone()).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_model::ids::StepPath;

    use super::*;
    use crate::{Claims, RunRecords};

    struct NoRecords;

    impl RunRecords for NoRecords {
        fn records(&self) -> Result<Vec<Value>, Error> {
            Ok(Vec::new())
        }
    }

    fn context() -> Context {
        let step = StepPath::root(&"a".parse().unwrap());
        let key = Key { run: "run-a".parse().unwrap(), step, incarnation: 3 };
        let (controller, records) = ("test".to_owned(), Arc::new(NoRecords));
        Context { key, attempt: 1, controller, generation: 1, records, claims: Claims::new() }
    }

    fn echo() -> Simple {
        Simple::new("demo.echo@1".parse().unwrap(), "says what it is given", |key, params| async move {
            Ok(json!({ "incarnation": key.incarnation, "given": params }))
        })
    }

    /// Nothing is done by a start; the first poll does all of it, with the parameters that the handle holds.
    #[tokio::test]
    async fn the_first_poll_does_it() {
        let (echo, context) = (echo(), context());
        let Started::Running(handle) = echo.start(&context, &json!({ "x": 1 })).await else { panic!() };
        let done = echo.poll(&context, &handle, Duration::ZERO).await;
        let outputs = json!({ "incarnation": 3, "given": { "x": 1 } });
        assert_eq!(done, Poll::Ended(Outcome::Done(outputs)));
    }

    /// Without effects there is never anything to find; with effects nobody knows, unless somebody was named who does.
    #[tokio::test]
    async fn who_is_asked_depends_on_the_effect() {
        let context = context();
        assert_eq!(echo().probe(&context, &json!({})).await, Probe::Absent);
        let undone = echo().undone_by(|_, _| async { Ok(()) });
        assert_eq!(undone.descriptor().effects, Effects::Reversible);
        assert!(matches!(undone.probe(&context, &json!({})).await, Probe::CannotTell(_)));
        let probed = undone.probed_by(|_, params| async move { Probe::Done(params) });
        assert_eq!(probed.probe(&context, &json!({ "x": 1 })).await, Probe::Done(json!({ "x": 1 })));
        assert_eq!(probed.compensate(&context, &json!({}), None).await, Ok(()));
    }
}
