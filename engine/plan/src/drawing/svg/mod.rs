//! As an SVG picture, which every browser shows and which needs no other program.
//!
//! ```text
//!  Outline --boxes--> boxes inside boxes, each with its size --layers--> their places, and the ways of the arrows
//!                                                                           '--paint--> text
//! ```
//!
//! Lengths are in units of the picture, whole numbers all of them: the same workflow is the same bytes on every machine.
//! Letters have one width, so that a box is as wide as its text without asking a font.

mod boxes;
mod layers;
mod paint;
mod place;
mod words;

pub use paint::svg;
