//! Steps as boxes inside boxes, with arrows between those that stand side by side.

use longhaul_model::action::Effects;
use longhaul_model::ids::StepId;

use super::layers::layered;
use super::place::{Point, Size};
use super::words::{self, LINE};
use crate::check::Outline;
use crate::drawing::labels;
use crate::plan::{ActionStep, Body, Graph, Reason, Step};

/// Between a box and what is in it.
const PADDING: i64 = 12;
/// Between blocks one below the other.
const GAP: i64 = 28;

/// What a box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A step that uses an action.
    Action,
    /// The same, and from there a run only goes forward.
    Pivot,
    /// A step that waits for time, people or a signal.
    Pause,
    /// Steps of a foreach or of another workflow, or a block behind the steps.
    Frame,
}

/// A box with its text.
#[derive(Debug)]
pub(super) struct Boxed {
    pub(super) kind: Kind,
    pub(super) at: Point,
    pub(super) size: Size,
    pub(super) lines: Vec<String>,
}

impl Boxed {
    /// Where the text begins: the left end of the first line's base.
    pub(super) fn text(&self) -> Point {
        self.at.moved(Point { x: PADDING, y: PADDING / 2 + LINE - 4 })
    }
}

/// An arrow between two boxes, by their numbers.
#[derive(Debug)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Whether only data goes this way: nobody wrote that the one needs the other.
    pub(super) reads_only: bool,
    pub(super) reasons: Vec<String>,
    pub(super) way: Vec<Point>,
}

/// A part of the picture. The boxes stand in the order in which they are painted: a frame before what is in it.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) boxes: Vec<Boxed>,
    pub(super) arrows: Vec<Arrow>,
    pub(super) size: Size,
}

impl Part {
    /// Everything in a workflow.
    pub(super) fn whole(outline: &Outline) -> Self {
        let mut whole = Self::level(&outline.graph);
        for (_, title, graph) in labels::blocks(outline) {
            whole.below(Self::frame(&[title.to_owned()], Self::level(graph)));
        }
        whole
    }

    /// Steps side by side and one below the other.
    fn level(graph: &Graph) -> Self {
        let parts: Vec<_> = graph.steps.iter().map(Self::step).collect();
        let sizes: Vec<_> = parts.iter().map(|part| part.size).collect();
        let index = |id: &StepId| graph.steps.iter().position(|step| step.id == *id);
        let needs = |(to, step): (usize, &Step)| -> Vec<(usize, usize)> {
            step.needs.iter().filter_map(|need| Some((index(need)?, to))).collect()
        };
        let pairs: Vec<_> = graph.steps.iter().enumerate().flat_map(needs).collect();
        let layered = layered(&sizes, &pairs);
        let mut level = Self { size: layered.size, ..Self::default() };
        let mut heads = Vec::new();
        for (part, place) in parts.into_iter().zip(&layered.places) {
            heads.push(level.boxes.len());
            level.take(part, *place);
        }
        for ((from, to), way) in pairs.into_iter().zip(layered.ways) {
            let (step, needed) = (&graph.steps[to], &graph.steps[from].id);
            let of = |reason: &&Reason| reason.needs() == needed;
            let is_read = |reason: &Reason| matches!(reason, Reason::Reads { .. });
            let mut reasons = step.reasons.iter().filter(of).peekable();
            let reads_only = reasons.peek().is_some() && reasons.all(is_read);
            let reasons = labels::edge(step, needed);
            level.arrows.push(Arrow { from: heads[from], to: heads[to], reads_only, reasons, way });
        }
        level
    }

    fn step(step: &Step) -> Self {
        match &step.body {
            Body::Action(action) => {
                let kind = if action.pivot { Kind::Pivot } else { Kind::Action };
                let mut lines = labels::action(step, action);
                lines.extend(marks(action));
                Self::leaf(kind, &lines)
            }
            Body::Wait(wait) => Self::leaf(Kind::Pause, &labels::wait(step, wait)),
            Body::Question(question) => Self::leaf(Kind::Pause, &labels::question(step, question)),
            Body::Foreach(foreach) => {
                Self::frame(&[labels::foreach(step, foreach)], Self::level(&foreach.graph))
            }
            Body::Workflow(child) => {
                let mut inside = Self::level(&child.graph);
                for (_, title, graph) in labels::blocks_of(child) {
                    inside.below(Self::frame(&[title.to_owned()], Self::level(graph)));
                }
                Self::frame(&[labels::child(step, child)], inside)
            }
        }
    }

    fn leaf(kind: Kind, lines: &[String]) -> Self {
        let lines = words::wrapped(lines);
        let size = padded(words::size(&lines));
        Self { boxes: vec![Boxed { kind, at: Point::default(), size, lines }], arrows: Vec::new(), size }
    }

    /// A box around a part, with a title over it.
    fn frame(title: &[String], inside: Self) -> Self {
        let mut frame = Self::leaf(Kind::Frame, title);
        let place = Point { x: PADDING, y: frame.size.height };
        let inner = Size { width: inside.size.width + 2 * PADDING, height: inside.size.height + PADDING };
        frame.size = frame.size.above(inner, 0);
        frame.boxes[0].size = frame.size;
        frame.take(inside, place);
        frame
    }

    /// Puts a part under everything.
    fn below(&mut self, part: Self) {
        let place = Point { x: 0, y: self.size.height + GAP };
        self.size = self.size.above(part.size, GAP);
        self.take(part, place);
    }

    /// Takes a part in, at a place.
    fn take(&mut self, part: Self, place: Point) {
        let first = self.boxes.len();
        self.boxes.extend(part.boxes.into_iter().map(|it| Boxed { at: it.at.moved(place), ..it }));
        self.arrows.extend(part.arrows.into_iter().map(|arrow| Arrow {
            from: arrow.from + first,
            to: arrow.to + first,
            way: arrow.way.iter().map(|point| point.moved(place)).collect(),
            ..arrow
        }));
    }
}

/// What an operator wants to see of a step at once: where it only goes forward, and what takes it back.
fn marks(action: &ActionStep) -> Vec<String> {
    let pivot = action.pivot.then(|| "◆ pivot: only forward from here".to_owned());
    let undo = match (&action.compensate, action.effects) {
        (Some(compensation), _) => Some(format!("↺ undone by {}", compensation.uses)),
        (None, Effects::Reversible) => Some("↺ can be undone".to_owned()),
        (None, Effects::None | Effects::Irreversible) => None,
    };
    let scope = action.scope.then(|| "↺ undone at the end in any case".to_owned());
    pivot.into_iter().chain(undo).chain(scope).collect()
}

/// A box around text; its middle is a whole number.
fn padded(text: Size) -> Size {
    Size { width: text.width + 2 * PADDING, height: text.height + PADDING }
}
