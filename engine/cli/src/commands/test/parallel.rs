//! Many small pieces of work on as many threads as the machine has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The result of every job, in the order of the jobs.
pub(super) fn map<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(jobs.len());
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        while let Some((at, job)) = numbered(jobs, next.fetch_add(1, Ordering::Relaxed)) {
            done.push((at, work(job)));
        }
        done
    };
    let mut all: Vec<(usize, R)> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Vec<(usize, R)>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().flat_map(join).collect()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}

fn numbered<J>(jobs: &[J], at: usize) -> Option<(usize, &J)> {
    jobs.get(at).map(|job| (at, job))
}

#[cfg(test)]
mod tests {
    /// Results come in the order of their jobs, however many threads there are, and none of no jobs.
    #[test]
    fn results_keep_their_order() {
        let jobs: Vec<u64> = (0..1_000).collect();
        assert_eq!(super::map(&jobs, |job| job * 2), jobs.iter().map(|job| job * 2).collect::<Vec<_>>());
        assert_eq!(super::map(&[] as &[u64], |job| *job), Vec::<u64>::new());
    }
}
