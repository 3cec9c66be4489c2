//! How long runs are kept that are over.

use longhaul_model::ids::RunId;
use longhaul_run::{Journal, Reader};

use crate::commands::driving;
use crate::errors::Result;
use crate::output;
use crate::settings::{Retention, Settings};

/// Why a run went, for the row that stays of it.
pub(super) const REASON: &str = "the configuration keeps runs no longer";

/// The runs that are kept no longer, the oldest first: they are over, ended longer ago than runs are kept, and are not among
/// the newest that stay in any case.
pub(super) fn due(reader: &Reader, retention: Retention, now_unix_ms: u64) -> Result<Vec<RunId>> {
    let mut over = Vec::new();
    for summary in reader.runs()? {
        let standing = reader.standing(&summary.run)?;
        if standing.status.is_final() {
            over.push((standing.last_at_unix_ms, summary.run));
        }
    }
    over.sort();
    Ok(choose(over, retention, now_unix_ms))
}

/// Of runs in the order of their ends those that go.
fn choose(over: Vec<(u64, RunId)>, retention: Retention, now_unix_ms: u64) -> Vec<RunId> {
    if retention.keeps_all() {
        return Vec::new();
    }
    let newest = over.len().saturating_sub(retention.keep_runs.unwrap_or(0));
    let is_old = |ended_unix_ms: u64| {
        retention
            .keep_runs_for
            .is_none_or(|keep| now_unix_ms.saturating_sub(ended_unix_ms) > keep.as_millis())
    };
    let old = over.into_iter().take(newest).filter(|(ended, _)| is_old(*ended));
    old.map(|(_, run)| run).collect()
}

/// Deletes what is kept no longer, if the configuration says so. A failure is told and nothing else: the run that has just
/// ended has done so whatever becomes of older ones.
pub(crate) async fn tidy_up(journal: &Journal, settings: &Settings) {
    let retention = settings.retention();
    if retention.keeps_all() {
        return;
    }
    let done = async {
        let now = driving::now_unix_ms();
        let runs = due(&journal.reader()?, retention, now)?;
        for run in &runs {
            journal.delete(run, now, REASON).await?;
        }
        Result::Ok(runs.len())
    };
    match done.await {
        Ok(0) => {}
        Ok(count) => output::talk(format_args!(
            "deleted {count} old run{}: {REASON}; `longhaul runs list --deleted` names them",
            if count == 1 { "" } else { "s" }
        )),
        Err(failure) => output::talk(failure.in_one_line()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With an age alone what is older goes, with a number alone what is beyond it, and with both what is older and beyond it.
    #[test]
    fn old_runs_go_and_the_newest_stay() {
        let day = 86_400_000;
        let over: Vec<(u64, RunId)> =
            (1..=5).map(|n| (n * day, format!("run-{n}").parse().unwrap())).collect();
        let chosen = |keep_runs_for: Option<&str>, keep_runs| {
            let keep_runs_for = keep_runs_for.map(|time| time.parse().unwrap());
            let gone = choose(over.clone(), Retention { keep_runs_for, keep_runs }, 6 * day);
            gone.iter().map(|run| run.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(chosen(None, None), Vec::<String>::new());
        assert_eq!(chosen(Some("72h"), None), ["run-1", "run-2"]);
        assert_eq!(chosen(None, Some(4)), ["run-1"]);
        assert_eq!(chosen(Some("72h"), Some(4)), ["run-1"]);
        assert_eq!(chosen(Some("1h"), Some(3)), ["run-1", "run-2"]);
        assert_eq!(chosen(Some("1h"), Some(9)), Vec::<String>::new());
    }
}
