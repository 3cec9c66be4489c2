//! What a client saw, as figures.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Failures kept with their words; more are only counted.
const FAILURES_MAX: usize = 200;

/// What failures of the ticker begin with; all others are of requests.
pub(super) const TICKER: &str = "ticker: ";

/// Turns of the name that are kept; a name that jumps to and fro does not fill the memory.
const SERVED_MAX: usize = 200;

/// A connection that is silent for longer when the looking ends has fallen silent. Many times the time between two lines of a
/// ticker, and longer than the pause of a move that goes well.
const SILENT_MS_MAX: u64 = 2_000;

/// So many requests in a row make it more than a stroke of luck.
const FOLLOWED_REQUESTS_MIN: u64 = 3;

/// What a client saw from the beginning to the end of an observation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientView {
    /// Longest silence on an established ticker connection.
    pub longest_gap_ms: u64,
    /// When that silence began.
    pub gap_at_unix_ms: u64,
    /// When the last ticker line came.
    #[serde(default)]
    pub last_line_at_unix_ms: Option<u64>,
    /// For how long the ticker connection had been silent when the looking ended.
    #[serde(default)]
    pub silent_ms: u64,
    /// Ticker lines received.
    pub lines: u64,
    /// Ticker lines whose number was skipped.
    pub missing: u64,
    /// Ticker lines whose number had been seen before.
    pub duplicates: u64,
    /// Ticker connections that ended before the observation did.
    pub resets: u64,
    /// Ticker connections made; 1 if the first one lived through everything.
    pub connections: u64,
    /// HTTP requests made.
    pub requests: u64,
    /// HTTP requests that did not succeed.
    pub failed_requests: u64,
    /// The first failures, of requests and of the ticker.
    pub failures: Vec<Failure>,
    /// Address to which the name led at the last request.
    pub last_answer: Option<Ipv4Addr>,
    /// The requests that succeeded, by turns of the address to which the name led.
    #[serde(default)]
    pub served: Vec<Served>,
}

/// Requests in a row that succeeded at one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Where the name led.
    pub address: Ipv4Addr,
    /// How many they were.
    pub requests: u64,
    /// When the first of them began.
    pub first_at_unix_ms: u64,
    /// When the last of them began.
    pub last_at_unix_ms: u64,
}

/// Something that did not work, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When it began.
    pub at_unix_ms: u64,
    /// How long it took to fail.
    pub took_ms: u64,
    /// What was said.
    pub what: String,
}

impl Failure {
    /// Whether a request failed, and not the ticker.
    #[must_use]
    pub fn is_of_request(&self) -> bool {
        !self.what.starts_with(TICKER)
    }
}

impl ClientView {
    /// Whether the established connection counted on without a missing number and without a reset, and nothing was
    /// received twice. A view that received nothing is not good.
    #[must_use]
    pub fn connection_intact(&self) -> bool {
        self.lines > 0
            && self.missing == 0
            && self.duplicates == 0
            && self.resets == 0
            && self.connections == 1
    }

    /// Whether the connection brought nothing any more when the looking ended, though nobody closed it.
    #[must_use]
    pub fn fell_silent(&self) -> bool {
        self.silent_ms > SILENT_MS_MAX
    }

    /// The longest silence of the established connection; `None` if no line ended it.
    #[must_use]
    pub fn ended_gap_unix_ms(&self) -> Option<Range<u64>> {
        let end = self.gap_at_unix_ms + self.longest_gap_ms;
        self.had_line_after(self.gap_at_unix_ms).then_some(self.gap_at_unix_ms..end)
    }

    /// Whether the established connection was intact, still brought lines after this instant, and its longest silence is
    /// over.
    #[must_use]
    pub fn counted_on_after(&self, unix_ms: u64) -> bool {
        self.connection_intact() && self.had_line_after(unix_ms) && self.ended_gap_unix_ms().is_some()
    }

    fn had_line_after(&self, unix_ms: u64) -> bool {
        self.last_line_at_unix_ms.is_some_and(|last| last > unix_ms)
    }

    /// Whether the name led to this address at the last request, and some requests in a row succeeded there.
    #[must_use]
    pub fn followed_to(&self, address: Ipv4Addr) -> bool {
        let served = self.served.last();
        self.last_answer == Some(address)
            && served.is_some_and(|last| last.address == address && last.requests >= FOLLOWED_REQUESTS_MIN)
    }

    pub(super) fn succeeded(&mut self, address: Ipv4Addr, at_unix_ms: u64) {
        let turns = self.served.len();
        match self.served.last_mut() {
            Some(last) if last.address == address => {
                last.requests += 1;
                last.last_at_unix_ms = at_unix_ms;
            }
            Some(_) if turns >= SERVED_MAX => {}
            Some(_) | None => self.served.push(Served {
                address,
                requests: 1,
                first_at_unix_ms: at_unix_ms,
                last_at_unix_ms: at_unix_ms,
            }),
        }
    }

    pub(super) fn note(&mut self, failure: Failure) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(failure);
        }
    }
}

/// Milliseconds since the epoch, now.
pub(crate) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const AWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    fn intact() -> ClientView {
        ClientView {
            lines: 9,
            connections: 1,
            gap_at_unix_ms: 1_000,
            longest_gap_ms: 400,
            last_line_at_unix_ms: Some(1_700),
            ..ClientView::default()
        }
    }

    /// A connection counted on after an instant if lines came later; one whose longest silence no line ended did not, however
    /// early the instant.
    #[test]
    fn a_silence_without_an_end_is_not_counting_on() {
        let view = intact();
        assert_eq!(view.ended_gap_unix_ms(), Some(1_000..1_400));
        assert!(view.counted_on_after(1_200) && !view.counted_on_after(1_700));
        let stalled = ClientView { longest_gap_ms: 9_000, last_line_at_unix_ms: Some(1_000), ..view };
        assert!(stalled.connection_intact());
        assert_eq!(stalled.ended_gap_unix_ms(), None);
        assert!(!stalled.counted_on_after(500));
    }

    /// A client followed a name when the last answer leads to the address and requests in a row succeeded there.
    #[test]
    fn an_answer_alone_is_not_following() {
        let mut view = ClientView { last_answer: Some(HOME), ..ClientView::default() };
        for at in 0..5 {
            view.succeeded(HOME, at);
        }
        assert!(view.followed_to(HOME) && !view.followed_to(AWAY));
        view.last_answer = Some(AWAY);
        view.succeeded(AWAY, 5);
        view.succeeded(AWAY, 6);
        assert!(!view.followed_to(AWAY) && !view.followed_to(HOME), "{view:?}");
        view.succeeded(AWAY, 7);
        assert!(view.followed_to(AWAY), "{view:?}");
        let turns: Vec<_> = view.served.iter().map(|turn| (turn.requests, turn.last_at_unix_ms)).collect();
        assert_eq!(turns, [(5, 4), (3, 7)]);
    }

    /// A view that was written down before it held these figures is still read.
    #[test]
    fn an_older_view_is_read() {
        let mut old = serde_json::to_value(intact()).unwrap();
        let fields = old.as_object_mut().unwrap();
        assert!(fields.remove("last_line_at_unix_ms").is_some() && fields.remove("served").is_some());
        assert!(fields.remove("silent_ms").is_some());
        let read: ClientView = serde_json::from_value(old).unwrap();
        assert_eq!(read, ClientView { last_line_at_unix_ms: None, ..intact() });
    }
}
