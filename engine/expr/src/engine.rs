//! The one Rhai engine: what an expression may use, and how much.
//!
//! Built from named packages on `Engine::new_raw`, so that a newer Rhai adds nothing by itself. No `eval`, no `Fn`, no
//! printing, no time functions, no modules. The optimiser is off: it would evaluate at parse time.

use std::cell::Cell;
use std::sync::LazyLock;

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, Engine, EvalAltResult, OptimizationLevel, Position};

use crate::{functions, quantities, status};

/// Bounds of one evaluation. Far above what a list of a few thousand VMs needs, far below what a person would notice.
pub(crate) const OPERATIONS_MAX: u64 = 1_000_000;
pub(crate) const STRING_BYTES_MAX: usize = 1 << 20;
pub(crate) const ITEMS_MAX: usize = 100_000;
const CALL_DEPTH_MAX: usize = 16;
const EXPRESSION_DEPTH_MAX: usize = 32;

/// How much an expression may be and do: the most, and of what. Calls inside each other end at the depth of what is written:
/// an expression defines no function that could call itself.
#[must_use]
pub fn limits() -> [(String, &'static str); 4] {
    [
        (OPERATIONS_MAX.to_string(), "operations of one evaluation"),
        (format!("{} MiB", STRING_BYTES_MAX >> 20), "one text, and all texts of one list or map together"),
        (
            ITEMS_MAX.to_string(),
            "items of one list, entries of one map, those inside each other counted together",
        ),
        (EXPRESSION_DEPTH_MAX.to_string(), "levels of brackets, operators and calls inside each other"),
    ]
}

thread_local! {
    /// What is left of the operations of the evaluation under way. Rhai's own bound counts from 0 again in each call of a
    /// closure, so that two lists inside each other would go on for ever.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Evaluates something that may take so many operations in all.
pub(crate) fn bounded<T>(operations: u64, evaluate: impl FnOnce() -> T) -> T {
    LEFT.set(operations);
    evaluate()
}

/// Has an engine take every operation from those that are left.
pub(crate) fn count_operations(engine: &mut Engine) {
    engine.on_progress(|_| spend(1).err().map(|_| Dynamic::UNIT));
}

/// Takes operations from those that are left: native code is not interrupted, so it says before how much it will do.
pub(crate) fn spend(operations: usize) -> Result<(), Box<EvalAltResult>> {
    let left = LEFT.get().checked_sub(operations as u64);
    LEFT.set(left.unwrap_or(0));
    left.map(drop).ok_or_else(|| EvalAltResult::ErrorTooManyOperations(Position::NONE).into())
}

/// Words of Rhai that expressions do not have.
const DISABLED: [&str; 14] = [
    "eval",
    "print",
    "debug",
    "Fn",
    "call",
    "curry",
    "is_def_fn",
    "is_def_var",
    "import",
    "export",
    "while",
    "loop",
    "throw",
    "this",
];

/// The engine. Immutable once built, so that it can be shared by everybody.
pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut engine = Engine::new_raw();
    register_packages(&mut engine);
    status::register(&mut engine);
    quantities::register(&mut engine);
    functions::register(&mut engine);
    for word in DISABLED {
        engine.disable_symbol(word);
    }
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_fail_on_invalid_map_property(true);
    read_what_closures_share(&mut engine, |_| true);
    set_limits(&mut engine);
    engine
});

/// Rhai's own functions that are pure.
pub(crate) fn register_packages(engine: &mut Engine) {
    ArithmeticPackage::new().register_into_engine(engine);
    LogicPackage::new().register_into_engine(engine);
    BasicMathPackage::new().register_into_engine(engine);
    BasicIteratorPackage::new().register_into_engine(engine);
    BasicStringPackage::new().register_into_engine(engine);
    MoreStringPackage::new().register_into_engine(engine);
    BasicArrayPackage::new().register_into_engine(engine);
    BasicMapPackage::new().register_into_engine(engine);
}

/// A closure shares what it captures with the expression around it, behind a lock. In `inputs.vms.map(|vm| inputs.site)` that
/// expression would hold the lock while the closure asks for it, and Rhai refuses to wait. So what is shared, if it is one of
/// `these`, is read as a copy, which nothing can change.
#[expect(deprecated, reason = "Rhai calls it volatile; its version is pinned")]
pub(crate) fn read_what_closures_share(engine: &mut Engine, these: fn(&Dynamic) -> bool) {
    engine.on_var(move |name, _, context| {
        let shared = context.scope().get(name).filter(|value| value.is_shared() && these(value));
        Ok(shared.map(Dynamic::flatten_clone))
    });
}

fn set_limits(engine: &mut Engine) {
    engine.set_max_operations(OPERATIONS_MAX);
    count_operations(engine);
    engine.set_max_string_size(STRING_BYTES_MAX);
    engine.set_max_array_size(ITEMS_MAX);
    engine.set_max_map_size(ITEMS_MAX);
    engine.set_max_call_levels(CALL_DEPTH_MAX);
    engine.set_max_expr_depths(EXPRESSION_DEPTH_MAX, EXPRESSION_DEPTH_MAX);
}
