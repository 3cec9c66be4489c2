//! The time line as an inline picture.

use std::fmt::Write;

use super::units::millis;
use super::{Report, StepLine};

const WIDTH: u64 = 720;
const ROW: u64 = 22;
const LABEL: u64 = 250;

/// A bar per step, to scale. Everything from outside is escaped.
pub(super) fn time_line(report: &Report) -> String {
    let scale = report.total_ms.max(1);
    let height = ROW * (report.steps.len() as u64 + 1);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"time line\" xmlns=\"http://www.w3.org/2000/svg\">"
    );
    for (row, step) in report.steps.iter().enumerate() {
        bar(&mut svg, row as u64, step, scale);
    }
    let end = millis(report.total_ms);
    let y = height - 6;
    push(&mut svg, format_args!("<text x=\"{LABEL}\" y=\"{y}\">0</text>"));
    push(&mut svg, format_args!("<text x=\"{WIDTH}\" y=\"{y}\" text-anchor=\"end\">{end}</text></svg>"));
    svg
}

fn bar(svg: &mut String, row: u64, step: &StepLine, scale: u64) {
    let to_ms = step.to_ms.unwrap_or(scale).min(scale);
    let at = |ms: u64| LABEL + ms.min(scale) * (WIDTH - LABEL) / scale;
    let (x, y) = (at(step.from_ms), row * ROW);
    let width = at(to_ms).saturating_sub(x).max(2);
    let name = escape(&step.step);
    let undo = if step.undo { "undo " } else { "" };
    let class = if step.undo { "undo" } else { step.state };
    push(svg, format_args!("<text x=\"0\" y=\"{}\">{undo}{name}</text>", y + 15));
    let took = millis(to_ms.saturating_sub(step.from_ms));
    push(
        svg,
        format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{}\" rx=\"3\"><title>{name}: {took}</title></rect>",
            y + 4,
            ROW - 8
        ),
    );
}

fn push(svg: &mut String, text: std::fmt::Arguments<'_>) {
    svg.write_fmt(text).expect("writing to a string does not fail");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
