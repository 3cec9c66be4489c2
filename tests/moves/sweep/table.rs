//! What `docs/reference/fault-points.md` promises, read from the page itself.

use std::collections::BTreeMap;
use std::fmt;

use longhaul_agent::faults::FaultPoint;

use super::fault::Fault;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/fault-points.md");

/// What became of a move, in the page's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// `source`, `target`, or what the facts of the two sites say instead of one owner.
    pub(super) owner: String,
    /// The VM's state at its owner.
    pub(super) guest: String,
    /// How the run ended.
    pub(super) run: String,
    /// Whether the guest went on in its memory.
    pub(super) memory: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, guest, run, memory } = self;
        write!(f, "owner {owner}, guest {guest}, run {run}, memory {memory}")
    }
}

/// The page's two tables.
pub(super) struct Table {
    outcomes: BTreeMap<String, Outcome>,
    points: BTreeMap<(String, String), Cell>,
}

/// A cell of the table of points.
struct Cell {
    outcome: String,
    /// Whether what the fault is done to is there at this point.
    is_there: bool,
}

impl Cell {
    fn read(text: &str) -> Self {
        let absent = text.strip_suffix('*');
        Self { outcome: absent.unwrap_or(text).to_owned(), is_there: absent.is_none() }
    }
}

impl Table {
    /// Reads the page. Every point has a row and every row is a point, every fault a column, every cell an outcome.
    pub(super) fn read() -> Self {
        let page = std::fs::read_to_string(PAGE).unwrap();
        let outcomes = rows(&page, "outcome").into_iter().map(|row| {
            let word = |column: &str| row[column].clone();
            let (owner, guest) = (word("owner"), word("guest"));
            (word("outcome"), Outcome { owner, guest, run: word("run"), memory: word("memory") })
        });
        let outcomes: BTreeMap<_, _> = outcomes.collect();
        let mut points = BTreeMap::new();
        for row in rows(&page, "point") {
            let point = row["point"].trim_matches('`').to_owned();
            assert!(FaultPoint::ALL.iter().any(|it| it.name() == point), "no such point: {point}");
            for fault in Fault::ALL {
                let cell = Cell::read(&row[fault.column()]);
                assert!(
                    outcomes.contains_key(&cell.outcome),
                    "{point}, {}: no such outcome: {}",
                    fault.column(),
                    cell.outcome
                );
                let before = points.insert((point.clone(), fault.column().to_owned()), cell);
                assert!(before.is_none(), "{point} has two rows");
            }
        }
        assert_eq!(points.len(), FaultPoint::ALL.len() * Fault::ALL.len(), "a point has no row");
        Self { outcomes, points }
    }

    /// The word for what has to happen, and what it means.
    pub(super) fn expected(&self, point: FaultPoint, fault: Fault) -> (&str, &Outcome) {
        let word = &self.cell(point, fault).outcome;
        (word, &self.outcomes[word])
    }

    /// Whether what the fault is done to is there at this point.
    pub(super) fn is_there(&self, point: FaultPoint, fault: Fault) -> bool {
        self.cell(point, fault).is_there
    }

    fn cell(&self, point: FaultPoint, fault: Fault) -> &Cell {
        &self.points[&(point.name().to_owned(), fault.column().to_owned())]
    }
}

/// The rows of the table whose first column has this head, by column.
fn rows(page: &str, first: &str) -> Vec<BTreeMap<String, String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = page.lines().skip_while(|line| cells(line).first().is_none_or(|head| head != first));
    let heads = cells(lines.next().expect("the page has the table"));
    let body = lines.skip(1).take_while(|line| line.starts_with('|'));
    body.map(|line| heads.iter().cloned().zip(cells(line)).collect()).collect()
}
