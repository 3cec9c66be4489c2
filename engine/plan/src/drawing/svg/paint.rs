//! Boxes and arrows as text of SVG.

use std::fmt::Write;

use super::boxes::{Arrow, Boxed, Kind, Part};
use super::place::{Point, Size};
use super::words::{self, LINE, escaped};
use crate::check::Outline;
use crate::drawing::labels;

/// Around everything.
const MARGIN: i64 = 16;

/// Colours, for light pages and dark ones. A colour never says something alone: pivots have a mark and a double line, arrows
/// of data are dashed.
const STYLE: &str = "\
  text { font: 12px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2328; }
  .name { font-weight: bold; }
  .page { fill: #ffffff; }
  .action { fill: #eaf2fd; stroke: #2f6fbe; }
  .pivot, .pivot-inner { fill: #fdeee0; stroke: #b35500; }
  .pause { fill: #f3eefb; stroke: #7a4fb5; }
  .frame { fill: #8b949e; fill-opacity: 0.08; stroke: #8b949e; }
  .arrow { fill: none; stroke: #57606a; stroke-width: 1.2; }
  .reads { stroke-dasharray: 5 4; }
  .head { fill: #57606a; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .page { fill: #0d1117; }
    .action { fill: #12263f; stroke: #58a6ff; }
    .pivot, .pivot-inner { fill: #3a2410; stroke: #f0883e; }
    .pause { fill: #271c3b; stroke: #b392f0; }
    .arrow { stroke: #9198a1; }
    .head { fill: #9198a1; }
  }
";

/// The steps as an SVG picture.
#[must_use]
pub fn svg(outline: &Outline) -> String {
    let part = Part::whole(outline);
    let policies = words::wrapped(&labels::policies(outline));
    let legend = legend(&part);
    let (above, below) = (words::size(&policies), words::size(&legend));
    let gap = |lines: &[String]| if lines.is_empty() { 0 } else { MARGIN };
    let size = above.above(part.size, gap(&policies)).above(below, gap(&legend));
    let top = Point { x: MARGIN, y: MARGIN };
    let origin = top.moved(Point { x: 0, y: above.height + gap(&policies) });
    let end = origin.moved(Point { x: 0, y: part.size.height + gap(&legend) });

    let mut paint = Paint { text: String::new(), origin };
    paint.head(Size { width: size.width + 2 * MARGIN, height: size.height + 2 * MARGIN });
    paint.lines(&policies, top);
    part.boxes.iter().enumerate().for_each(|(number, boxed)| paint.boxed(number, boxed));
    part.arrows.iter().for_each(|arrow| paint.arrow(arrow));
    paint.lines(&legend, end);
    paint.line("</svg>");
    paint.text
}

/// What the picture does not say by itself.
fn legend(part: &Part) -> Vec<String> {
    let reads = part.arrows.iter().any(|arrow| arrow.reads_only);
    let reads = reads.then(|| "- - reads what the other one puts out".to_owned());
    reads.into_iter().collect()
}

struct Paint {
    text: String,
    /// Where the boxes begin.
    origin: Point,
}

impl Paint {
    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("writing into a string cannot fail");
    }

    fn head(&mut self, size: Size) {
        let Size { width, height } = size;
        self.line(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"The steps of a workflow\">"
        ));
        self.line(&format!("<style>\n{STYLE}</style>"));
        self.line(
            "<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
             orient=\"auto\"><path class=\"head\" d=\"M 0 0 L 8 4 L 0 8 z\"/></marker></defs>",
        );
        self.line("<rect class=\"page\" width=\"100%\" height=\"100%\"/>");
    }

    fn boxed(&mut self, number: usize, boxed: &Boxed) {
        let class = match boxed.kind {
            Kind::Action => "action",
            Kind::Pivot => "pivot",
            Kind::Pause => "pause",
            Kind::Frame => "frame",
        };
        self.line(&format!("<g id=\"n{number}\">"));
        self.rect(class, boxed.at.moved(self.origin), boxed.size);
        if boxed.kind == Kind::Pivot {
            let inside = boxed.at.moved(self.origin).moved(Point { x: 3, y: 3 });
            let size = Size { width: boxed.size.width - 6, height: boxed.size.height - 6 };
            self.rect("pivot-inner", inside, size);
        }
        let names = if boxed.kind == Kind::Frame { boxed.lines.len() } else { 1 };
        let at = boxed.text().moved(self.origin);
        for (number, (place, line)) in below(at).zip(&boxed.lines).enumerate() {
            self.words(place, line, if number < names { " class=\"name\"" } else { "" });
        }
        self.line("</g>");
    }

    fn rect(&mut self, class: &str, at: Point, size: Size) {
        let (Point { x, y }, Size { width, height }) = (at, size);
        self.line(&format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>"
        ));
    }

    fn arrow(&mut self, arrow: &Arrow) {
        let class = if arrow.reads_only { "arrow reads" } else { "arrow" };
        let way: Vec<_> = arrow.way.iter().map(|point| point.moved(self.origin)).collect();
        self.line(&format!(
            "<path class=\"{class}\" data-from=\"n{}\" data-to=\"n{}\" marker-end=\"url(#head)\" d=\"{}\"><title>{}</title></path>",
            arrow.from,
            arrow.to,
            curve(&way),
            escaped(&arrow.reasons.join("\n")),
        ));
    }

    /// Lines of which the first has its upper edge there.
    fn lines(&mut self, lines: &[String], at: Point) {
        for (place, line) in below(at.moved(Point { x: 0, y: LINE - 4 })).zip(lines) {
            self.words(place, line, "");
        }
    }

    fn words(&mut self, Point { x, y }: Point, line: &str, attributes: &str) {
        self.line(&format!("<text{attributes} x=\"{x}\" y=\"{y}\">{}</text>", escaped(line)));
    }
}

/// The places of lines one below the other.
fn below(first: Point) -> impl Iterator<Item = Point> {
    (0..).map(move |line| first.moved(Point { x: 0, y: line * LINE }))
}

/// A way as the data of a path: straight within a layer, a curve to the next one.
fn curve(way: &[Point]) -> String {
    let mut data = String::new();
    for (number, point) in way.iter().enumerate() {
        let part = match (number, number % 2) {
            (0, _) => format!("M {} {}", point.x, point.y),
            (_, 1) => format!(" L {} {}", point.x, point.y),
            (_, _) => {
                let (from, half) = (way[number - 1], (point.y - way[number - 1].y) / 2);
                format!(
                    " C {} {} {} {} {} {}",
                    from.x,
                    from.y + half,
                    point.x,
                    point.y - half,
                    point.x,
                    point.y
                )
            }
        };
        data.push_str(&part);
    }
    data
}
