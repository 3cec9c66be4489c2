//! What was measured so far, kept in a file after every move, so that a later run goes on with it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use super::cell::Cell;
use super::sample::Sample;

/// Another form of the file is not read.
const FORMAT: u32 = 1;
/// Moves of each in a cell: the least of which a median means something.
const RUNS: usize = 3;

/// What is to be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(super) cells: Vec<Cell>,
    /// Moves of each in every cell.
    pub(super) runs: usize,
}

impl Wanted {
    /// These cells, or all if none is named; `quick` for one move of each in the first.
    pub(crate) fn new(named: Vec<Cell>, quick: bool) -> Self {
        let mut cells = if named.is_empty() { Cell::ALL.to_vec() } else { named };
        let mut seen = Vec::new();
        cells.retain(|cell| {
            !seen.contains(cell) && {
                seen.push(*cell);
                true
            }
        });
        if quick {
            cells.truncate(1);
        }
        Self { cells, runs: if quick { 1 } else { RUNS } }
    }

    /// Every purpose has a file of its own: a quick look in between costs a long measurement nothing.
    pub(super) fn file(&self, folder: &Path) -> PathBuf {
        let names: Vec<&str> = self.cells.iter().map(|cell| cell.name()).collect();
        folder.join(format!("first-move-{}-x{}.json", names.join("-"), self.runs))
    }

    /// Moves of both in all cells.
    pub(super) fn moves(&self) -> usize {
        2 * self.runs * self.cells.len()
    }
}

/// What was measured in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measured {
    pub(super) cell: Cell,
    pub(super) calibration: Calibration,
    pub(super) ours: Vec<Sample>,
    pub(super) theirs: Vec<Sample>,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Ours,
    Theirs,
}

impl Measured {
    pub(super) fn new(cell: Cell, calibration: Calibration) -> Self {
        Self { cell, calibration, ours: Vec::new(), theirs: Vec::new() }
    }

    /// Ours first, then by turns; none when both have `runs` moves.
    pub(super) fn turn(&self, runs: usize) -> Option<Turn> {
        if self.ours.len() <= self.theirs.len() && self.ours.len() < runs {
            Some(Turn::Ours)
        } else {
            (self.theirs.len() < runs).then_some(Turn::Theirs)
        }
    }
}

/// The file's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: u32,
    /// SHA-256 of the binary that measured: figures of two builds are not mixed.
    binary: String,
    wanted: Wanted,
    cells: Vec<Measured>,
}

/// What was measured so far, and its file.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    kept: Kept,
}

impl Progress {
    /// Goes on with what the file holds if it was measured by the same binary for the same purpose; begins anew otherwise.
    pub(super) fn open(path: &Path, binary: &str, wanted: &Wanted) -> Self {
        let new =
            Kept { format: FORMAT, binary: binary.to_owned(), wanted: wanted.clone(), cells: Vec::new() };
        let found: Option<Kept> =
            std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let same = |kept: &Kept| (kept.format, &kept.binary, &kept.wanted) == (FORMAT, &new.binary, wanted);
        Self { path: path.to_owned(), kept: found.filter(same).unwrap_or(new) }
    }

    pub(super) fn cells(&self) -> &[Measured] {
        &self.kept.cells
    }

    /// Moves that need not be made again.
    pub(super) fn moves(&self) -> usize {
        self.kept.cells.iter().map(|cell| cell.ours.len() + cell.theirs.len()).sum()
    }

    pub(super) fn complete(&self) -> bool {
        self.moves() >= self.kept.wanted.moves()
    }

    pub(super) fn cell(&self, cell: Cell) -> Option<&Measured> {
        self.kept.cells.iter().find(|measured| measured.cell == cell)
    }

    /// Keeps what a cell has now; the file is whole at every moment.
    pub(super) fn keep(&mut self, measured: Measured) -> io::Result<()> {
        match self.kept.cells.iter_mut().find(|known| known.cell == measured.cell) {
            Some(known) => *known = measured,
            None => self.kept.cells.push(measured),
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = self.path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(&self.kept)?)?;
        std::fs::rename(new, &self.path)
    }

    /// Forgets the file: the next run measures everything again.
    pub(super) fn finish(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::limit::tests::ours;

    /// Both take turns, ours first, and an interruption between the two changes nothing in that.
    #[test]
    fn both_take_turns() {
        let mut measured = Measured::new(Cell::Lossy, Calibration::default());
        let mut turns = Vec::new();
        while let Some(turn) = measured.turn(2) {
            turns.push(turn);
            match turn {
                Turn::Ours => measured.ours.push(ours()),
                Turn::Theirs => measured.theirs.push(Sample::default()),
            }
        }
        assert_eq!(turns, [Turn::Ours, Turn::Theirs, Turn::Ours, Turn::Theirs]);
    }

    /// What was kept is found again by the same binary with the same purpose, and by no other; a torn file counts as none.
    #[test]
    fn a_later_run_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = Wanted::new(Vec::new(), false);
        let path = wanted.file(&folder.path().join("bench"));
        assert!(path.ends_with("bench/first-move-50ms-150ms-x3.json"), "{}", path.display());
        let mut first = Progress::open(&path, "one", &wanted);
        let mut measured = Measured::new(Cell::Long, Calibration::default());
        measured.ours.push(ours());
        first.keep(measured.clone()).unwrap();

        let later = Progress::open(&path, "one", &wanted);
        assert_eq!((later.cells(), later.moves(), later.complete()), (&[measured][..], 1, false));
        assert_eq!(Progress::open(&path, "two", &wanted).moves(), 0);
        assert_eq!(Progress::open(&path, "one", &Wanted::new(vec![Cell::Long], false)).moves(), 0);

        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert_eq!(Progress::open(&path, "one", &wanted).moves(), 0);
        later.finish().unwrap();
        later.finish().unwrap();
        assert!(!path.exists());
    }

    /// All cells three times each, one once when in a hurry, and no cell twice.
    #[test]
    fn what_is_wanted() {
        assert_eq!(Wanted::new(Vec::new(), false), Wanted { cells: Cell::ALL.to_vec(), runs: 3 });
        assert_eq!(
            Wanted::new(vec![Cell::Long, Cell::Long], true),
            Wanted { cells: vec![Cell::Long], runs: 1 }
        );
        assert_eq!(Wanted::new(Vec::new(), false).moves(), 12);
    }
}
