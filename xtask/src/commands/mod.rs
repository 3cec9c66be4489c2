//! One file per command, or per family of them.

pub(crate) mod lint;
pub(crate) mod product;
pub(crate) mod test;
