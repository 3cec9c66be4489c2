//! The memory writer: pages whose whole content follows from their number and generation.
//!
//! The generation that was acknowledged stands in another region than the page. A page that is lost (an older copy
//! arrives) disagrees with the region of acknowledgements, and a lost page of that region disagrees with its pages.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::pattern::{Stream, page_mark};

const PAGE_WORDS: usize = 512;
/// One word in four is random, the others repeat: the mix real memory has, for which compression is worth its while.
const RANDOM_EVERY: usize = 4;
/// Pages written between two looks at the clock.
const BURST: u64 = 16;

/// The pages and what was acknowledged about them.
pub(crate) struct WorkingSet {
    pages: Vec<u64>,
    acknowledged: Vec<u64>,
    choice: Stream,
    /// Pages written.
    pub(crate) writes_acked: u64,
    /// Pages compared with what they must hold.
    pub(crate) checked: u64,
    /// Pages found different; a page counts once for every check that finds it so.
    pub(crate) bad: u64,
}

impl WorkingSet {
    /// Pages of generation 0.
    pub(crate) fn new(kib: u64) -> Self {
        let count = usize::try_from(kib / 4).expect("fits a 64-bit guest").max(1);
        let mut set = Self {
            pages: vec![0; count * PAGE_WORDS],
            acknowledged: vec![0; count],
            choice: Stream::new(7),
            writes_acked: 0,
            checked: 0,
            bad: 0,
        };
        (0..count).for_each(|page| fill(set.page(page), page, 0));
        set
    }

    fn page(&mut self, page: usize) -> &mut [u64] {
        &mut self.pages[page * PAGE_WORDS..(page + 1) * PAGE_WORDS]
    }

    /// Checks one page, writes its next generation, and acknowledges that.
    fn advance(&mut self) {
        let page = (self.choice.next_word() % self.acknowledged.len() as u64) as usize;
        self.check(page);
        let generation = self.acknowledged[page] + 1;
        fill(self.page(page), page, generation);
        self.acknowledged[page] = generation;
        self.writes_acked += 1;
    }

    fn check(&mut self, page: usize) -> bool {
        let generation = self.acknowledged[page];
        let good = holds(self.page(page), page, generation);
        self.checked += 1;
        self.bad += u64::from(!good);
        good
    }

    /// Checks every page; how many are bad.
    pub(crate) fn verify(&mut self) -> (u64, u64) {
        let count = self.acknowledged.len();
        let bad = (0..count).filter(|&page| !self.check(page)).count();
        (count as u64, bad as u64)
    }
}

fn words(page: usize, generation: u64) -> impl Iterator<Item = u64> {
    let mut random = Stream::new((page as u64) << 40 ^ generation);
    let mark = page_mark();
    (0..PAGE_WORDS).map(move |index| match index % RANDOM_EVERY {
        _ if index == 0 => mark,
        0 => random.next_word(),
        _ => page as u64 ^ generation << 32,
    })
}

fn fill(content: &mut [u64], page: usize, generation: u64) {
    content.iter_mut().zip(words(page, generation)).for_each(|(word, value)| *word = value);
}

fn holds(content: &[u64], page: usize, generation: u64) -> bool {
    content.iter().copied().eq(words(page, generation))
}

/// Writes at the given rate; what was missed while the guest was paused is not caught up.
pub(crate) fn write_for_ever(set: &Mutex<WorkingSet>, rate_kib: u64) {
    let pause = Duration::from_micros(BURST * 4 * 1_000_000 / rate_kib.max(1));
    loop {
        let begun = Instant::now();
        {
            let mut set = set.lock().expect("no thread panics: a panic ends the guest");
            (0..BURST).for_each(|_| set.advance());
        }
        std::thread::sleep(pause.saturating_sub(begun.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> WorkingSet {
        let mut set = WorkingSet::new(256);
        (0..500).for_each(|_| set.advance());
        assert_eq!(set.verify(), (64, 0));
        set
    }

    /// A page that holds an older generation than was acknowledged is found.
    #[test]
    fn one_lost_page_is_found() {
        let mut set = written();
        let older = set.acknowledged[3] - 1;
        fill(set.page(3), 3, older);
        assert_eq!(set.verify(), (64, 1));
    }

    /// One flipped bit anywhere in a page is found.
    #[test]
    fn one_flipped_bit_is_found() {
        let mut set = written();
        set.page(5)[511] ^= 1 << 63;
        assert_eq!(set.verify(), (64, 1));
    }

    /// A lost page of the acknowledgements is found too: every page it speaks of disagrees.
    #[test]
    fn a_lost_acknowledgement_is_found() {
        let mut set = written();
        set.acknowledged[7] -= 1;
        assert_eq!(set.verify().1, 1);
    }
}
