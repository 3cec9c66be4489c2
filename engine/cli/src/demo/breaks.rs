//! What the demo can break on purpose, and who has to break it.

use std::ffi::OsString;

use clap::ValueEnum;
use longhaul_lab::client::Fault;

use crate::commands::AgentBreak;

/// One thing to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Break {
    /// The source sends an empty list instead of the last dirty round.
    SkipLastDirtyRound,
    /// A byte of a guest's memory page is flipped on the way.
    FlipPage,
    /// A disk server acknowledges a write and does not store it.
    LoseWrite,
    /// One line of the client's connection is swallowed.
    DropLine,
    /// The client's connection is reset.
    ResetFlow,
    /// The source lets its guest run as well.
    SecondRunner,
    /// A block of the disk is stored wrong at the target.
    CorruptFetch,
}

impl Break {
    /// What the agents are started with.
    pub(super) fn agent_arguments(self) -> Vec<OsString> {
        let told = match self {
            Self::SkipLastDirtyRound => AgentBreak::SkipLastDirtyRound,
            Self::FlipPage => AgentBreak::FlipPage,
            Self::LoseWrite => AgentBreak::LoseWrite,
            Self::SecondRunner => AgentBreak::SecondRunner,
            Self::CorruptFetch => AgentBreak::CorruptFetch,
            Self::DropLine | Self::ResetFlow => return Vec::new(),
        };
        let name = told.to_possible_value().expect("no switch is hidden from the command line");
        vec!["--break".into(), name.get_name().into()]
    }

    /// What goes wrong in front of the client's checks.
    pub(super) fn client_fault(self) -> Option<Fault> {
        match self {
            Self::DropLine => Some(Fault::DropLine),
            Self::ResetFlow => Some(Fault::ResetFlow),
            Self::SkipLastDirtyRound
            | Self::FlipPage
            | Self::LoseWrite
            | Self::SecondRunner
            | Self::CorruptFetch => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every switch breaks exactly one thing, at the agents or in front of the client.
    #[test]
    fn every_switch_breaks_one_thing() {
        for what in Break::value_variants() {
            let at_agents = !what.agent_arguments().is_empty();
            assert_ne!(at_agents, what.client_fault().is_some(), "{what:?}");
        }
    }
}
