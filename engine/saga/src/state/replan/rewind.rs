//! Undoing what is to run again, the last first, while nothing else begins.

use super::super::unwind::Step;
use super::super::{FrameEnd, FrameId, Mode, NodeId, ROOT, Saga, State};

/// How far a graph has been rewound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rewound {
    Wholly,
    NotYet,
    /// Only a person can say how it goes on.
    Stuck,
}

impl Saga {
    /// Whether what is to run again is being undone, or waits for an operator to be.
    pub(in crate::state) fn is_rewinding(&self) -> bool {
        self.successor.is_some()
    }

    /// Goes on undoing what is to run again; when nothing of it is left, the new plan takes its place.
    pub(in crate::state) fn rewind_run(&mut self) {
        // It may have stopped for an operator by now.
        if self.frame(ROOT).mode() != Mode::Rewinding {
            return;
        }
        match self.rewind(ROOT) {
            Rewound::Wholly => self.go_on_with_plan(),
            Rewound::Stuck if !self.has_calls() => {
                self.end_frame(ROOT, FrameEnd::Stuck { unwinding: true });
            }
            Rewound::Stuck | Rewound::NotYet => {}
        }
    }

    fn rewind(&mut self, id: FrameId) -> Rewound {
        let mut last = None;
        while let Some(node) = self.last_standing(id, last) {
            last = Some(node);
            let rewound =
                if self.node(node).runs_again { self.rewind_node(node) } else { self.rewind_inside(node) };
            if rewound != Rewound::Wholly {
                return rewound;
            }
        }
        Rewound::Wholly
    }

    fn rewind_node(&mut self, id: NodeId) -> Rewound {
        match self.undo(id) {
            Step::Past => Rewound::Wholly,
            Step::Wait => Rewound::NotYet,
            Step::Stuck => Rewound::Stuck,
        }
    }

    fn rewind_inside(&mut self, id: NodeId) -> Rewound {
        let mut whole = Rewound::Wholly;
        for item in self.node(id).items.clone() {
            if self.frame(item).mode() != Mode::Rewinding {
                continue;
            }
            match (self.rewind(item), whole) {
                (Rewound::Wholly, _) => {}
                (_, Rewound::NotYet) | (Rewound::NotYet, _) => whole = Rewound::NotYet,
                (Rewound::Stuck, _) => whole = Rewound::Stuck,
            }
        }
        whole
    }

    /// Whether an effect is under way, in either direction.
    fn has_calls(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.state, State::Working(_) | State::Undoing(_)))
    }
}
