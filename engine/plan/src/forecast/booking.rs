//! What steps take of the workflow's resources on the line of time: a step begins when what it claims is free.

use longhaul_expr::Scope;

use super::schedule::Moment;
use crate::plan::ActionStep;
use crate::resources::{Budget, Resource};

/// Something that is taken for a while.
#[derive(Debug, Clone, Copy)]
struct Taken {
    from_ms: u64,
    to_ms: u64,
    amount: u64,
    /// The step, by its place among the expectations.
    by: usize,
}

/// The budgets, and who takes what of them when.
#[derive(Debug, Default)]
pub(super) struct Bookings {
    budgets: Vec<(Budget, Vec<Taken>)>,
}

/// What one step takes.
#[derive(Debug)]
pub(super) struct Booking {
    /// A budget's place, how much of it, and whether it is never given back.
    parts: Vec<(usize, u64, bool)>,
}

impl Bookings {
    /// The resources that are known before a run.
    pub(super) fn of(resources: &[Resource], scope: &Scope) -> Self {
        let budgets = resources.iter().filter_map(|resource| resource.bind(scope).ok());
        Self { budgets: budgets.map(|budget| (budget, Vec::new())).collect() }
    }

    /// What a step will take, as far as that is known: of an elastic claim its least.
    pub(super) fn wanted(&self, action: &ActionStep, scope: &Scope) -> Booking {
        let part = |claim: &crate::resources::Claim| {
            let at = self.budgets.iter().position(|(budget, _)| budget.name == claim.resource)?;
            let wanted = claim.bind(&self.budgets[at].0, scope).ok()?;
            Some((at, wanted.least, wanted.keep))
        };
        Booking { parts: action.claims.iter().filter_map(part).collect() }
    }

    /// The first moment from `start` on at which all of it is free for so long; `start` itself if that never comes.
    pub(super) fn first_free(&self, booking: &Booking, start: Moment, duration_ms: u64) -> Moment {
        let ends = booking.parts.iter().flat_map(|(at, _, _)| &self.budgets[*at].1);
        let ends = ends.filter(|taken| taken.to_ms > start.ms && taken.to_ms < u64::MAX);
        let mut moments: Vec<Moment> =
            ends.map(|taken| Moment { ms: taken.to_ms, end_of: Some(taken.by) }).collect();
        moments.sort_unstable();
        let fits = |moment: &Moment| {
            booking.parts.iter().all(|(at, amount, _)| {
                let (budget, all) = &self.budgets[*at];
                most_taken(all, moment.ms, moment.ms.saturating_add(duration_ms)) + amount <= budget.to_give
            })
        };
        std::iter::once(start).chain(moments).find(fits).unwrap_or(start)
    }

    /// Takes it.
    pub(super) fn take(&mut self, booking: &Booking, from_ms: u64, to_ms: u64, by: usize) {
        for (at, amount, keep) in &booking.parts {
            let to_ms = if *keep { u64::MAX } else { to_ms };
            self.budgets[*at].1.push(Taken { from_ms, to_ms, amount: *amount, by });
        }
    }
}

/// The most that is taken at one moment of a span.
fn most_taken(all: &[Taken], from_ms: u64, to_ms: u64) -> u64 {
    let within =
        || all.iter().filter(|taken| taken.to_ms > from_ms && taken.from_ms < to_ms.max(from_ms + 1));
    let at =
        |ms: u64| within().filter(|taken| taken.from_ms <= ms && taken.to_ms > ms).map(|it| it.amount).sum();
    within().map(|taken| taken.from_ms.max(from_ms)).map(at).max().unwrap_or(0)
}
