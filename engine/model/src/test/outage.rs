//! When a site is down.

use crate::document::Node;
use crate::ids::SiteId;
use crate::read::{Read, Reader};
use crate::source::Spanned;
use crate::units::Time;

/// A time in which a site's agent does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutageSpec {
    /// The site.
    pub site: Spanned<SiteId>,
    /// Since when, counted from the case's clock; from the first moment on if it is not written.
    pub from: Option<Time>,
    /// How long; for good if it is not written.
    pub lasts: Option<Time>,
}

pub(crate) const KEYS: [&str; 3] = ["site", "from", "for"];

impl Read for OutageSpec {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.fields(node, "an outage", &KEYS)?;
        let (from, lasts) = (reader.optional(node, "from"), reader.optional(node, "for"));
        Some(Self { site: reader.required(node, "site")?, from, lasts })
    }
}
