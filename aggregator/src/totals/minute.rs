//! Totals of each minute, by the vehicles' clocks. A minute takes positions until others are newer than its end by the
//! allowed lateness; what comes later is not counted, whatever the order in which instances come and go.

use std::collections::{BTreeMap, BTreeSet};

use fleet::MinuteTotal;
use serde::{Deserialize, Serialize};

use super::part::mean_kmh;

/// How long a minute is.
const MINUTE_MS: u64 = 60_000;
/// A clock that is ahead of Kafka's by more is wrong. Without a bound, one such clock would make all others late. A guess.
const AHEAD_MS_MAX: u64 = 60_000;
/// So long a minute is kept after its end; the lateness that can be allowed is less.
pub const KEPT_MS: u64 = 60 * MINUTE_MS;

/// What came of one minute from one partition, and what all of them add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minute {
    /// Positions.
    pub messages: u64,
    /// Their speeds, metres per hour.
    pub speed_m_per_h: u128,
}

impl Minute {
    /// Adds what came from another partition.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.speed_m_per_h += other.speed_m_per_h;
    }
}

/// The minutes of one partition, by their starts.
#[derive(Debug)]
pub struct Minutes {
    minutes: BTreeMap<u64, Minute>,
    changed: BTreeSet<u64>,
    newest_ms: u64,
    lateness_ms: u64,
}

impl Minutes {
    /// None yet.
    pub fn new(lateness_ms: u64) -> Self {
        Self {
            minutes: BTreeMap::new(),
            changed: BTreeSet::new(),
            newest_ms: 0,
            lateness_ms,
        }
    }

    /// Counts a position that Kafka got at `seen_ms`; returns whether its time was not too late, nor far ahead.
    pub fn add(&mut self, timestamp_ms: u64, seen_ms: u64, speed_m_per_h: u64) -> bool {
        let start = timestamp_ms - timestamp_ms % MINUTE_MS;
        let is_open = (start + MINUTE_MS).saturating_add(self.lateness_ms) > self.newest_ms;
        if !is_open || timestamp_ms > seen_ms.saturating_add(AHEAD_MS_MAX) {
            return false;
        }
        self.newest_ms = self.newest_ms.max(timestamp_ms);
        let minute = self.minutes.entry(start).or_default();
        minute.messages += 1;
        minute.speed_m_per_h += u128::from(speed_m_per_h);
        self.changed.insert(start);
        while let Some(first) = self.minutes.first_entry()
            && is_over(*first.key(), self.newest_ms, KEPT_MS)
        {
            self.changed.insert(*first.key());
            first.remove();
        }
        true
    }

    /// The newest time of all: what the lateness is counted from.
    pub fn newest_ms(&self) -> u64 {
        self.newest_ms
    }

    /// Takes over what was stored of a minute.
    pub fn restore(&mut self, start: u64, minute: Option<Minute>) {
        match minute {
            Some(minute) => self.minutes.insert(start, minute),
            None => self.minutes.remove(&start),
        };
    }

    /// Takes over what [`Minutes::newest_ms`] was.
    pub fn restore_newest(&mut self, newest_ms: u64) {
        self.newest_ms = newest_ms;
    }

    /// The minutes that changed since [`Minutes::told`]; none: it is over and no more kept.
    pub fn changed(&self) -> impl Iterator<Item = (u64, Option<Minute>)> {
        let with_count = |start: &u64| (*start, self.minutes.get(start).copied());
        self.changed.iter().map(with_count)
    }

    /// Whoever must know of the changes does.
    pub fn told(&mut self) {
        self.changed.clear();
    }
}

/// Whether a minute ended more than `kept_ms` before `newest_ms`.
pub fn is_over(start: u64, newest_ms: u64, kept_ms: u64) -> bool {
    (start + MINUTE_MS).saturating_add(kept_ms) < newest_ms
}

/// What is published of a minute.
pub fn total(start: u64, minute: &Minute) -> MinuteTotal {
    MinuteTotal {
        minute: start,
        messages: minute.messages,
        mean_speed: mean_kmh(minute.speed_m_per_h, minute.messages),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 29_453_760 * MINUTE_MS;

    #[test]
    fn a_position_counts_in_its_minute_until_it_is_too_late() {
        let mut minutes = Minutes::new(10_000);
        for (after_ms, counts) in [
            (0, true),
            (59_999, true),
            // The next minute begins, and the one before is still open …
            (69_999, true),
            (30_000, true),
            // … until the newest is 10 s behind its end.
            (70_000, true),
            (59_999, false),
            (60_000, true),
        ] {
            let at = START + after_ms;
            assert_eq!(minutes.add(at, at, 1_000), counts, "{after_ms}");
        }
        let changed: Vec<_> = minutes
            .changed()
            .map(|(start, minute)| total(start, &minute.unwrap()))
            .map(|total| (total.minute, total.messages, total.mean_speed))
            .collect();
        assert_eq!(changed, [(START, 3, 1.0), (START + MINUTE_MS, 3, 1.0)]);
        minutes.told();
        assert_eq!(minutes.changed().count(), 0);
    }

    #[test]
    fn a_clock_far_ahead_makes_nobody_late() {
        let mut minutes = Minutes::new(0);
        assert!(!minutes.add(START + AHEAD_MS_MAX + 1, START, 1));
        assert!(!minutes.add(u64::MAX - MINUTE_MS, START, 1));
        assert!(minutes.add(START, START, 1));
    }

    #[test]
    fn a_minute_is_let_go_when_it_is_long_over() {
        let mut minutes = Minutes::new(0);
        minutes.add(START, START, 1);
        minutes.told();
        let later = START + KEPT_MS + MINUTE_MS;
        minutes.add(later, later, 1);
        assert_eq!(minutes.minutes.len(), 2);
        minutes.add(later + 1, later + 1, 1);
        assert_eq!(minutes.changed().next(), Some((START, None)));
    }

    #[test]
    fn it_goes_on_from_what_was_stored() {
        let mut before = Minutes::new(10_000);
        before.add(START, START, 7);
        before.add(START + 75_000, START + 75_000, 7);
        let mut after = Minutes::new(10_000);
        for (start, minute) in before.changed() {
            after.restore(start, minute);
        }
        after.restore_newest(before.newest_ms());
        assert_eq!(after.changed().count(), 0);
        for minutes in [&mut before, &mut after] {
            assert!(!minutes.add(START + 1, START, 7), "late");
            assert!(minutes.add(START + 76_000, START + 76_000, 7));
        }
        assert_eq!(before.minutes, after.minutes);
    }
}
