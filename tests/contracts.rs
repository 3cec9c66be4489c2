//! Lists that crates must hold twice because they may not know each other.

use longhaul_model::workflow::ERROR_CLASSES;
use longhaul_step::ErrorClass;
use longhaul_wire::failure::Class;

/// What a workflow file may name in `retry.errors`, what an action fails with and what an agent answers with are one list of
/// classes.
#[test]
fn failure_classes_are_one_list() {
    for name in ERROR_CLASSES {
        let step: ErrorClass = serde_json::from_value(name.into()).unwrap();
        let wire: Class = name.parse().unwrap();
        assert_eq!((step.as_str(), wire.as_str()), (name, name));
        // A class that is added to one of the two is a missing arm here.
        let same = match step {
            ErrorClass::Transient => Class::Transient,
            ErrorClass::Permanent => Class::Permanent,
            ErrorClass::Precondition => Class::Precondition,
            ErrorClass::Conflict => Class::Conflict,
            ErrorClass::Auth => Class::Auth,
            ErrorClass::Unreachable => Class::Unreachable,
            ErrorClass::Cancelled => Class::Cancelled,
            ErrorClass::Internal => Class::Internal,
        };
        assert_eq!(wire, same);
    }
}
