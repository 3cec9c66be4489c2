//! The pictures that need no other program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use roxmltree::{Document, Node};

use crate::moves::binary;

/// A rectangle: left, top, right, bottom.
type Rect = [f64; 4];

fn svg(file: &Path) -> String {
    let output = Command::new(binary()).args(["graph", "--svg"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn number(node: &Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap().parse().unwrap()
}

/// The boxes, by their names.
fn boxes(picture: &Document<'_>) -> BTreeMap<String, Rect> {
    let rect = |group: Node<'_, '_>| {
        let rect = group.children().find(|child| child.has_tag_name("rect")).unwrap();
        let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| number(&rect, name));
        (group.attribute("id").unwrap().to_owned(), [x, y, x + width, y + height])
    };
    picture.descendants().filter(|node| node.has_tag_name("g")).map(rect).collect()
}

fn is_inside(inner: Rect, outer: Rect) -> bool {
    outer[0] <= inner[0] && outer[1] <= inner[1] && inner[2] <= outer[2] && inner[3] <= outer[3]
}

fn overlap(one: Rect, other: Rect) -> bool {
    one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
}

/// The points of a way, those that only bend a curve left out.
fn points(data: &str) -> Vec<[f64; 2]> {
    let mut points = Vec::new();
    for part in data.split(['M', 'L', 'C']).filter(|part| !part.trim().is_empty()) {
        let numbers: Vec<f64> = part.split_whitespace().map(|it| it.parse().unwrap()).collect();
        points.push([numbers[numbers.len() - 2], numbers[numbers.len() - 1]]);
    }
    points
}

/// Everything that has to hold of every picture, and how many boxes and arrows it has.
fn holds(name: &str, text: &str) -> (usize, usize) {
    let picture = Document::parse(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    let boxes = boxes(&picture);
    let page =
        [0.0, 0.0, number(&picture.root_element(), "width"), number(&picture.root_element(), "height")];
    for (id, one) in &boxes {
        assert!(is_inside(*one, page), "{name}: {id} is not on the page\n{text}");
        for (other_id, other) in boxes.iter().filter(|(other_id, _)| *other_id != id) {
            let nested = is_inside(*one, *other) || is_inside(*other, *one);
            assert!(nested || !overlap(*one, *other), "{name}: {id} and {other_id} overlap\n{text}");
        }
    }
    let mut arrows = 0;
    for arrow in picture.descendants().filter(|node| node.attribute("data-from").is_some()) {
        arrows += 1;
        let [from, to] = ["data-from", "data-to"].map(|end| boxes[arrow.attribute(end).unwrap()]);
        let way = points(arrow.attribute("d").unwrap());
        let (first, last) = (way[0], way[way.len() - 1]);
        assert!(first[1] == from[3] && from[0] < first[0] && first[0] < from[2], "{name}: {arrow:?}\n{text}");
        assert!(last[1] == to[1] && to[0] < last[0] && last[0] < to[2], "{name}: {arrow:?}\n{text}");
        // Where it goes straight down it is beside every box that does not hold both its ends.
        for pair in way.windows(2).filter(|pair| pair[0][0] == pair[1][0]) {
            let line = [pair[0][0], pair[0][1], pair[1][0], pair[1][1]];
            let around = |rect: &&Rect| !(is_inside(from, **rect) && is_inside(to, **rect));
            for rect in boxes.values().filter(around) {
                let through =
                    rect[0] < line[0] && line[0] < rect[2] && line[1] < rect[3] && rect[1] < line[3];
                assert!(!through, "{name}: {arrow:?} runs through {rect:?}\n{text}");
            }
        }
    }
    (boxes.len(), arrows)
}

/// In the picture of every workflow that comes along no two boxes overlap, and every arrow ends at its boxes.
#[test]
fn shipped_workflows_have_pictures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_workflow = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".yaml") && !name.ends_with(".test.yaml")
    };
    let mut seen = 0;
    for file in files.filter(is_workflow) {
        let (boxes, _) = holds(&file.display().to_string(), &svg(&file));
        assert!(boxes > 0, "{}", file.display());
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} workflows");
}

/// The steps of a made-up workflow, and how many boxes and arrows they are.
fn steps(random: &mut fastrand::Rng, text: &mut String, depth: usize, counts: &mut (usize, usize)) {
    let indent = "    ".repeat(depth);
    for step in 0..random.usize(1..=if depth == 0 { 14 } else { 5 }) {
        let needs: Vec<_> =
            (0..step).filter(|_| random.u8(..) < 80).map(|it| format!("s{depth}_{it}")).collect();
        counts.0 += 1;
        counts.1 += needs.len();
        writeln!(text, "{indent}  s{depth}_{step}:\n{indent}    needs: [{}]", needs.join(", ")).unwrap();
        match random.u8(..6) {
            0 if depth < 3 => {
                let list = r#"${{ ["a", "b"].filter(|it| it != "<&>") }}"#;
                writeln!(text, "{indent}    foreach: {list}\n{indent}    as: it{depth}\n{indent}    steps:")
                    .unwrap();
                steps(random, text, depth + 1, counts);
            }
            1 => writeln!(text, "{indent}    wait: {}s", random.u32(1..9)).unwrap(),
            2 => {
                let roles =
                    (0..random.usize(1..9)).map(|it| format!("role-{it}")).collect::<Vec<_>>().join(", ");
                writeln!(text, "{indent}    approve: {{ roles: [{roles}] }}").unwrap();
            }
            _ => writeln!(text, "{indent}    uses: gtm.prepare@1\n{indent}    with: {{ vm: a, ttl: 5 }}")
                .unwrap(),
        }
    }
}

/// The same of a hundred workflows that were made up at random: every step is a box, every need an arrow, and the same
/// workflow is the same picture.
#[test]
fn made_up_workflows_have_pictures() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..100 {
        let mut text =
            "apiVersion: longhaul/v1\nkind: Workflow\nname: made-up\nversion: 1.0.0\nsteps:\n".to_owned();
        let mut counts = (0, 0);
        steps(&mut fastrand::Rng::with_seed(seed), &mut text, 0, &mut counts);
        let file = folder.path().join(format!("{seed}.yaml"));
        std::fs::write(&file, &text).unwrap();
        let picture = svg(&file);
        assert_eq!(holds(&format!("seed {seed}\n{text}"), &picture), counts, "seed {seed}");
        assert_eq!(svg(&file), picture, "seed {seed}");
    }
}
