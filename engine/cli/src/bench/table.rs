//! What is shown of the results.

use std::fmt::Write as _;

use super::comparison::{Comparison, PEER, their_limit};
use super::progress::Measured;
use crate::output::Table;

/// The table, and below it what each figure is bound by and measured with.
pub(super) fn text(rows: &[Comparison], cells: &[Measured]) -> String {
    let mut table = Table::new(["work", "metric", "ours", "theirs", "ratio", "aim", "met", "runs"]);
    for row in rows {
        let aim = row.aim.map_or_else(|| "none".to_owned(), |aim| format!("{aim:.2}"));
        let met = row.met.map_or("-", |met| if met { "yes" } else { "no" });
        let ours = figure(row.unit, row.ours, row.spread.ours);
        let theirs = figure(row.unit, row.theirs, row.spread.theirs);
        let ratio = format!("{:.2}", row.ratio);
        let cells = [row.work.clone(), row.metric.to_owned(), ours, theirs, ratio, aim, met.to_owned()];
        let [work, metric, ours, theirs, ratio, aim, met] = cells;
        table.row([work, metric, ours, theirs, ratio, aim, met, row.runs.to_string()]);
    }
    let mut text = format!("{table}\n\ntheirs: {PEER}; ratio above 1: ours is better\n");
    for row in rows {
        let _ = writeln!(text, "limit of {}, {}: {}", row.metric, row.work, row.limit);
    }
    for (measured, limit) in cells.iter().filter_map(|measured| Some((measured, their_limit(measured)?))) {
        let _ = writeln!(text, "limit of theirs, {}: {limit}", measured.cell.text());
    }
    for measured in cells {
        let _ = writeln!(
            text,
            "calibration, {}: {}; seed of the losses {}",
            measured.cell.text(),
            measured.calibration.text(),
            measured.cell.link().seed
        );
    }
    let command = |command: &String| format!("peer: {command}\n");
    let commands = cells.iter().find_map(|measured| measured.theirs.first()).map(|sample| &sample.commands);
    text.extend(commands.into_iter().flatten().map(command));
    text
}

fn figure(unit: &str, median: f64, [least, most]: [u64; 2]) -> String {
    if unit == "bytes" {
        let mb = |bytes: f64| bytes / 1e6;
        format!("{:.1} MB ({:.1}..{:.1})", mb(median), mb(least as f64), mb(most as f64))
    } else {
        format!("{median:.0} {unit} ({least}..{most})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::comparison::compare;
    use crate::bench::comparison::tests::measured;

    /// Below the table each of our figures has its limit, and the peer has one for each link.
    #[test]
    fn both_sides_have_their_limits() {
        let measured = measured();
        let text = text(&compare(&measured), std::slice::from_ref(&measured));
        let limits = |of: &str| text.lines().filter(|line| line.starts_with(of)).count();
        assert_eq!((limits("limit of "), limits("limit of theirs, 100 Mbit/s, 50 ms")), (5, 1), "{text}");
    }

    /// Bytes are shown in megabytes, times as they are, both with their spread.
    #[test]
    fn figures_have_their_spread() {
        assert_eq!(figure("bytes", 2e6, [1_500_000, 3_000_000]), "2.0 MB (1.5..3.0)");
        assert_eq!(figure("ms", 400.5, [390, 420]), "400 ms (390..420)");
    }
}
