//! The engine as a library: the guide's program is the example, and it runs.

#[expect(unreachable_pub, reason = "it is a program of its own")]
#[path = "../engine/run/examples/embedding.rs"]
mod example;

/// The example runs its workflow to the end; what that leaves is checked inside it.
#[test]
fn the_example_runs() {
    example::main().unwrap();
}

/// The guide shows the example as it is.
#[test]
fn the_guide_shows_the_example() {
    let guide = include_str!("../docs/guide/embedding.md");
    let example = include_str!("../engine/run/examples/embedding.rs");
    assert!(
        guide.contains(&format!("```rust\n{example}```")),
        "docs/guide/embedding.md shows another program"
    );
}
