//! The one Rhai engine: what an expression may use, and how much.
//!
//! Built from named packages on `Engine::new_raw`, so that a newer Rhai adds nothing by itself. No `eval`, no `Fn`, no
//! printing, no time functions, no modules. The optimiser is off: it would evaluate at parse time.

use std::sync::LazyLock;

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Engine, OptimizationLevel};

use crate::{quantities, status};

/// Bounds of one evaluation. Far above what a list of a few thousand VMs needs, far below what a person would notice.
const OPERATIONS_MAX: u64 = 1_000_000;
const STRING_BYTES_MAX: usize = 1 << 20;
const ITEMS_MAX: usize = 100_000;
const CALL_DEPTH_MAX: usize = 16;
const EXPRESSION_DEPTH_MAX: usize = 32;

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
    for word in DISABLED {
        engine.disable_symbol(word);
    }
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_fail_on_invalid_map_property(true);
    set_limits(&mut engine);
    engine
});

fn register_packages(engine: &mut Engine) {
    ArithmeticPackage::new().register_into_engine(engine);
    LogicPackage::new().register_into_engine(engine);
    BasicMathPackage::new().register_into_engine(engine);
    BasicIteratorPackage::new().register_into_engine(engine);
    BasicStringPackage::new().register_into_engine(engine);
    MoreStringPackage::new().register_into_engine(engine);
    BasicArrayPackage::new().register_into_engine(engine);
    BasicMapPackage::new().register_into_engine(engine);
}

fn set_limits(engine: &mut Engine) {
    engine.set_max_operations(OPERATIONS_MAX);
    engine.set_max_string_size(STRING_BYTES_MAX);
    engine.set_max_array_size(ITEMS_MAX);
    engine.set_max_map_size(ITEMS_MAX);
    engine.set_max_call_levels(CALL_DEPTH_MAX);
    engine.set_max_expr_depths(EXPRESSION_DEPTH_MAX, EXPRESSION_DEPTH_MAX);
}
