//! Which parts of a sparse file hold data. Holes read as zeroes; nothing else is ever concluded from them.

use std::fs::File;
use std::io;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::nbd::Span;

/// The runs of data within a span of a file, in order, widened to nothing.
pub(crate) fn data(file: &File, span: Span) -> io::Result<Vec<Span>> {
    data_up_to(file, span, usize::MAX).map(|(runs, _)| runs)
}

/// The first `limit` runs of data within a span, and how far the answer reaches.
pub(crate) fn data_up_to(file: &File, span: Span, limit: usize) -> io::Result<(Vec<Span>, u64)> {
    let end = span.offset + span.length;
    let mut runs = Vec::new();
    let mut at = span.offset;
    while at < end && runs.len() < limit {
        let Some(start) = seek(file, SeekFrom::Data(at))?.filter(|start| *start < end) else {
            return Ok((runs, end));
        };
        let stop = seek(file, SeekFrom::Hole(start))?.unwrap_or(end).min(end);
        runs.push(Span::new(start, stop - start));
        at = stop;
    }
    Ok((runs, at))
}

/// `None`: nothing of that kind up to the end of the file. The file's position is never used otherwise.
fn seek(file: &File, to: SeekFrom) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, to) {
        Ok(offset) => Ok(Some(offset)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
