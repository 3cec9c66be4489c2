//! A workflow's steps as a picture: for the terminal, for Graphviz, for Mermaid, as SVG.
//!
//! Every edge goes from a step to one that waits for it, and says why. A foreach step is drawn as a frame around its
//! nested steps. Nothing here looks at inputs: what is drawn is what the file says.

mod dot;
mod labels;
mod mermaid;
mod svg;
mod terminal;

#[cfg(test)]
mod tests;

pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::svg;
pub use terminal::terminal;
