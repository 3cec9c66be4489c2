//! What is measured.

use clap::ValueEnum;

/// How the steps of a run need each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// Each needs the one before.
    Chain,
    /// None needs another.
    FanOut,
}

/// Runs at the same time, of so many steps each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) shape: Shape,
    pub(super) steps: usize,
    pub(super) runs: usize,
}

/// Sizes by which a chain and a fan-out are measured.
const SIZES: [usize; 4] = [40, 100, 1_000, 10_000];
const QUICK_SIZES: usize = 2;
/// Runs at the same time, and the steps of each.
const TOGETHER: (usize, usize) = (1_000, 10);

impl Work {
    pub(super) fn one(shape: Shape, steps: usize) -> Self {
        Self { shape, steps, runs: 1 }
    }

    /// From small to large: what a small one took says how long a larger one will.
    pub(super) fn all(quick: bool) -> Vec<Self> {
        let sizes = if quick { &SIZES[..QUICK_SIZES] } else { &SIZES };
        let of = |shape| sizes.iter().map(move |steps| Self::one(shape, *steps));
        let (runs, steps) = TOGETHER;
        let together = Self { shape: Shape::Chain, steps, runs };
        of(Shape::Chain).chain(of(Shape::FanOut)).chain((!quick).then_some(together)).collect()
    }

    /// Between which sizes flushes are counted: what a start costs is in both, and falls out.
    pub(super) fn traced() -> Vec<[Self; 2]> {
        let [small, large] = [SIZES[0], SIZES[1]];
        [Shape::Chain, Shape::FanOut].map(|shape| [Self::one(shape, small), Self::one(shape, large)]).into()
    }

    /// Steps of all runs.
    pub(super) fn all_steps(self) -> usize {
        self.steps * self.runs
    }

    /// As a worker is told.
    pub(super) fn words(self) -> [String; 3] {
        [self.shape.name().to_owned(), self.steps.to_string(), self.runs.to_string()]
    }

    /// In words: `chain of 100`.
    pub(super) fn text(self) -> String {
        let one = format!("{} of {}", self.shape.name(), self.steps);
        if self.runs == 1 { one } else { format!("{} runs, each a {one}", self.runs) }
    }
}

impl Shape {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::FanOut => "fan-out",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker reads the shape by the name that it is told, and small works come before large ones.
    #[test]
    fn works_are_told_by_name() {
        for work in Work::all(false) {
            assert_eq!(Shape::from_str(&work.words()[0], false), Ok(work.shape));
        }
        let sizes: Vec<usize> = Work::all(false).iter().map(|work| work.all_steps()).collect();
        assert_eq!(sizes, [40, 100, 1_000, 10_000, 40, 100, 1_000, 10_000, 10_000]);
        assert_eq!(Work::all(true).len(), 4);
    }
}
