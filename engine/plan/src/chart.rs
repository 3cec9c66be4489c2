//! A forecast as a drawing: a row for each step, a bar from its start to its end.
//!
//! For 80 columns, with and without a terminal, and without colours. Of very many steps those are drawn that decide when
//! the run ends, and the longest of the others.

use std::cmp::Reverse;
use std::fmt::Write;

use crate::forecast::{Expectation, Forecast, RestsOn};

/// Columns of a line.
pub(crate) const WIDTH: usize = 80;
/// Most columns of a name.
const NAME_MAX: usize = 30;
/// Columns of the time at the end of a row.
const TIME: usize = 8;
/// Most rows.
const ROWS_MAX: usize = 40;

/// The rows, and above them the line of time; nothing if no step has a time.
pub(crate) fn render(forecast: &Forecast) -> String {
    if forecast.total_ms == 0 {
        return "  no step has a time that could be drawn\n".to_owned();
    }
    let rows = chosen(&forecast.steps);
    let names = rows.iter().map(|row| row.path.chars().count()).max().unwrap_or(0).min(NAME_MAX);
    let bars = WIDTH - 2 - names - 2 - TIME;
    let mut text = String::new();
    let end = span(forecast.total_ms);
    let _ = writeln!(text, "  {:names$} 0{end:>width$}", "", width = bars - 1);
    for row in &rows {
        let name = shortened(&row.path, names);
        let bar = bar(row, forecast.total_ms, bars);
        let _ = writeln!(text, "{}", format!("  {name:names$} {bar} {:>TIME$}", time(row)).trim_end());
    }
    let left_out = forecast.steps.len() - rows.len();
    if left_out > 0 {
        let _ =
            writeln!(text, "  and {left_out} more steps that are shorter and decide less; --json has all");
    }
    text.push_str(
        "  █ decides when the run ends   ░ has room   ┄ waits\n  ─ the steps inside   ? not known\n",
    );
    text
}

/// All rows if they are few, else those of the critical path and the longest, in the order of the plan.
fn chosen(steps: &[Expectation]) -> Vec<&Expectation> {
    if steps.len() <= ROWS_MAX {
        return steps.iter().collect();
    }
    let mut places: Vec<usize> = (0..steps.len()).collect();
    places.sort_by_key(|at| {
        let step = &steps[*at];
        (!step.is_critical, Reverse(step.end_ms - step.start_ms), *at)
    });
    places.truncate(ROWS_MAX);
    places.sort_unstable();
    places.into_iter().map(|at| &steps[at]).collect()
}

fn bar(row: &Expectation, total_ms: u64, columns: usize) -> String {
    let column = |ms: u64| -> usize {
        let at = u128::from(ms) * columns as u128 / u128::from(total_ms);
        usize::try_from(at).unwrap_or(columns).min(columns)
    };
    let start = column(row.start_ms).min(columns - 1);
    let end = column(row.end_ms).max(start + 1);
    let mark = match (row.rests_on, row.is_critical) {
        (RestsOn::Nothing, _) => "?",
        (RestsOn::PassedOver, _) => " ",
        (RestsOn::Items, _) => "─",
        (RestsOn::Written, _) => "┄",
        (RestsOn::Looked | RestsOn::Estimate, true) => "█",
        (RestsOn::Looked | RestsOn::Estimate, false) => "░",
    };
    format!("{}{}{}", " ".repeat(start), mark.repeat(end - start), " ".repeat(columns - end))
}

fn time(row: &Expectation) -> String {
    match row.rests_on {
        RestsOn::Nothing => "?".to_owned(),
        RestsOn::PassedOver => "passed".to_owned(),
        RestsOn::Looked | RestsOn::Estimate | RestsOn::Written | RestsOn::Items => {
            span(row.end_ms - row.start_ms)
        }
    }
}

/// A name that is too long loses its beginning: its end tells steps apart.
fn shortened(name: &str, columns: usize) -> String {
    let length = name.chars().count();
    if length <= columns {
        return name.to_owned();
    }
    let rest: String = name.chars().skip(length - columns + 1).collect();
    format!("…{rest}")
}

/// A length of time in at most eight characters: `350ms`, `4.2s`, `3m05s`, `2h10m`, `3d04h`.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    if ms < 1_000 {
        format!("{ms}ms")
    } else if minutes == 0 {
        format!("{seconds}.{}s", ms % 1_000 / 100)
    } else if hours == 0 {
        format!("{minutes}m{:02}s", seconds % 60)
    } else if days == 0 {
        format!("{hours}h{:02}m", minutes % 60)
    } else {
        format!("{days}d{:02}h", hours % 24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times are short, and a name that does not fit keeps its end.
    #[test]
    fn times_and_names_are_short() {
        let spans = [350, 4_250, 185_000, 7_800_000, 273_600_000].map(span);
        assert_eq!(spans, ["350ms", "4.2s", "3m05s", "2h10m", "3d04h"]);
        assert_eq!(shortened("move/vm-a/prefetch", 10), "…/prefetch");
        assert_eq!(shortened("short", 10), "short");
    }
}
