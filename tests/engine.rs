//! The engine as a whole: saga, journal and driver, with toy actions that write files.

mod crash;
mod kit;
mod runs;
mod toy;
