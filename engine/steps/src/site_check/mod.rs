//! `site.check@1`: asks both sites what is the case, and refuses everything that is wrong at once.
//!
//! It changes nothing. What it learns (the link, the VMs, the sites) is its outputs; other actions estimate from them.

mod action;
mod facts;
pub(crate) mod predict;
mod problems;

pub(crate) use action::{SiteCheck, between_two_sites};
