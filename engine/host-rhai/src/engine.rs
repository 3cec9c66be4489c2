//! The one engine: what a script may use, and how much.

use std::sync::LazyLock;

use longhaul_expr::embed;
use rhai::{Engine, OptimizationLevel};

use crate::answer;

/// Bounds of one answer. Far above what a plan of ten thousand steps needs; a script that meets them holds a run up for less
/// than a second.
pub(crate) const OPERATIONS_MAX: u64 = 2_000_000;
const STRING_BYTES_MAX: usize = 1 << 20;
const ITEMS_MAX: usize = 500_000;
const CALL_DEPTH_MAX: usize = 24;
const EXPRESSION_DEPTH_MAX: usize = 48;
const VARIABLES_MAX: usize = 256;
const FUNCTIONS_MAX: usize = 128;

/// Words of Rhai that scripts do not have.
const DISABLED: [&str; 9] =
    ["eval", "import", "export", "Fn", "curry", "is_def_fn", "is_def_var", "is_shared", "sync"];

/// The engine. Immutable once built, so that it can be shared by everybody.
pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut engine = Engine::new_raw();
    embed::register(&mut engine);
    answer::register(&mut engine);
    for word in DISABLED {
        engine.disable_symbol(word);
    }
    engine.on_print(|text| tracing::debug!(text, "a policy says"));
    engine.on_debug(|text, _, position| tracing::debug!(text, %position, "a policy says"));
    // It would evaluate while it reads.
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_fail_on_invalid_map_property(true);
    engine.set_strict_variables(true);
    set_limits(&mut engine);
    engine
});

fn set_limits(engine: &mut Engine) {
    engine.set_max_operations(OPERATIONS_MAX);
    engine.set_max_string_size(STRING_BYTES_MAX);
    engine.set_max_array_size(ITEMS_MAX);
    engine.set_max_map_size(ITEMS_MAX);
    engine.set_max_call_levels(CALL_DEPTH_MAX);
    engine.set_max_expr_depths(EXPRESSION_DEPTH_MAX, EXPRESSION_DEPTH_MAX);
    engine.set_max_variables(VARIABLES_MAX);
    engine.set_max_functions(FUNCTIONS_MAX);
    engine.set_max_modules(0);
}
