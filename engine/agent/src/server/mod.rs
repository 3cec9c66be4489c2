//! The two services an agent offers: one to controllers, one to the other sites' agents.
//!
//! Nothing is decided here: a call is taken apart, handed to its owner, and the answer put together.

mod controllers;
mod sites;

pub(crate) use controllers::ForControllers;
pub(crate) use sites::ForSites;

use crate::error::Error;

/// An answer as tonic wants it.
type Answer<T> = Result<tonic::Response<T>, tonic::Status>;

fn answer<T>(result: Result<T, Error>) -> Answer<T> {
    result.map(tonic::Response::new).map_err(|error| error.status())
}
