//! The guest's disk: a file system with data of known checksums, and behind it the disk writer's ring.
//!
//! ```text
//! 0                               224 MiB                  256 MiB
//! | ext4: 60 MiB in files         | ring of records         |
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::image::Error;
use super::pattern::{Checksum, SAMPLE_BYTES, Stream};
use crate::process;

/// Virtual size.
pub const DISK_BYTES: u64 = 256 << 20;
/// Where the file system ends and the ring begins.
pub(super) const LOG_OFFSET: u64 = 224 << 20;
const FILE_BYTES: usize = 4 << 20;
const FILES_OF_EACH_KIND: u64 = 5;
/// So many that some are absent wherever a tenth of the disk is.
const SAMPLES_OF_A_FILE: usize = 16;
/// Duplicates repeat a block of this size.
const DUPLICATE_BYTES: usize = 64 << 10;
const MKFS_MAX: Duration = Duration::from_secs(60);

/// The mix a real disk has: a third compresses, a third does not, a third was there before.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Random,
    Duplicate,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Text, Self::Random, Self::Duplicate];

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Random => "random",
            Self::Duplicate => "duplicate",
        }
    }

    fn content(self, number: u64) -> Vec<u8> {
        let mut content = vec![0; FILE_BYTES];
        match self {
            Self::Random => Stream::new(100 + number).fill(&mut content),
            Self::Duplicate => {
                let mut block = vec![0; DUPLICATE_BYTES];
                Stream::new(1).fill(&mut block);
                content.chunks_mut(DUPLICATE_BYTES).for_each(|chunk| chunk.copy_from_slice(&block));
            }
            Self::Text => write_text(&mut content, number),
        }
        content
    }
}

fn write_text(content: &mut [u8], number: u64) {
    let mut random = Stream::new(200 + number);
    let mut rest = content;
    while !rest.is_empty() {
        let word = random.next_word();
        let line =
            format!("{word:020} level=info unit=disk-{} took={}us status=done\n", word % 16, word % 4_096);
        let length = line.len().min(rest.len());
        let (now, later) = rest.split_at_mut(length);
        now.copy_from_slice(&line.as_bytes()[..length]);
        rest = later;
    }
}

/// What the guest daemon is told about the files: `NAME LENGTH CHECKSUM SAMPLE-CHECKSUM...` a line.
pub(super) fn manifest() -> String {
    let line = |(name, content): (String, Vec<u8>)| {
        let mut line = format!("{name} {} {}", content.len(), checksum(&content));
        for part in content.chunks_exact(FILE_BYTES / SAMPLES_OF_A_FILE) {
            line.push_str(&format!(" {}", checksum(&part[part.len() - SAMPLE_BYTES..])));
        }
        line + "\n"
    };
    files().map(line).collect()
}

fn checksum(content: &[u8]) -> u64 {
    let mut checksum = Checksum::new();
    checksum.update(content);
    checksum.value()
}

fn files() -> impl Iterator<Item = (String, Vec<u8>)> {
    let of_kind = |kind: Kind| {
        (0..FILES_OF_EACH_KIND).map(move |number| (format!("{}-{number}", kind.name()), kind.content(number)))
    };
    Kind::ALL.into_iter().flat_map(of_kind)
}

/// Writes a fresh disk to `path`, as a sparse file.
///
/// # Errors
/// When the file cannot be written or `mkfs.ext4` is missing or refuses.
pub fn write_disk(path: &Path) -> Result<(), Error> {
    let seed = tempfile::tempdir().map_err(|source| Error::Io(std::env::temp_dir(), source))?;
    let write = |(name, content): (String, Vec<u8>)| -> io::Result<()> {
        File::create(seed.path().join(name))?.write_all(&content)
    };
    files().try_for_each(write).map_err(|source| Error::Io(seed.path().to_owned(), source))?;
    let sized = |bytes| File::create(path).and_then(|file| file.set_len(bytes));
    sized(LOG_OFFSET).map_err(|source| Error::Io(path.to_owned(), source))?;
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-F", "-q", "-b", "4096", "-m", "0", "-d"]).arg(seed.path()).arg(path);
    process::run(&mut mkfs, MKFS_MAX)?;
    let grown = fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(DISK_BYTES));
    grown.map_err(|source| Error::Io(path.to_owned(), source))
}
