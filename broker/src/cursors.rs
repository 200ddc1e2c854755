//! Who has left the tail of a partition, and who has come back: no gap, nothing twice.
//!
//! A reader (a session, or a subscription that replays) is on the tail of a partition unless a cursor here says
//! otherwise. `Behind`: it gets records from `next` on by a sweep of the log (see `catch_up`), and the tail passes it
//! over. `Ahead`: the sweep has brought it past the tail, which passes over what it has got already.
//!
//! The hand-over has no lock that the tail would hold for each record. The tail counts a record as begun, then offers it
//! under the reader's own lock. The sweep comes under the same lock and looks at that count: what the tail has begun it
//! may have offered, in vain, already, so the sweep must have brought it; what it has not begun, it will offer.

use kafka::Progress;
use mqtt::session::Origin;

/// The cursors of one reader; empty for the usual one, which is on the tail everywhere.
#[derive(Debug, Default)]
pub(crate) struct Cursors(Vec<Cursor>);

#[derive(Debug)]
struct Cursor {
    log: u32,
    next: i64,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Behind(By),
    Ahead,
}

/// Who brings records to a reader that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Nobody yet.
    Nobody,
    /// It has asked for a sweep, and waits for its turn.
    Asked,
    /// A sweep.
    Sweep,
    /// A sweep, and there was no room for the last record.
    FullSweep,
}

impl Cursors {
    fn find(&mut self, log: u32) -> Option<&mut Cursor> {
        self.0.iter_mut().find(|cursor| cursor.log == log)
    }

    /// The reader leaves the tail: it wants records from `next` on.
    pub(crate) fn leave(&mut self, log: u32, next: i64) {
        let state = State::Behind(By::Nobody);
        match self.find(log) {
            Some(cursor) => {
                cursor.next = next;
                cursor.state = state;
            }
            None => self.0.push(Cursor { log, next, state }),
        }
    }

    /// A reader that has missed nothing, since the tail goes on where it was, needs no sweep. It must be known to the tail
    /// already.
    pub(crate) fn stay_if_current(&mut self, log: u32, tail: &Progress) {
        if let Some(cursor) = self.find(log)
            && cursor.state == State::Behind(By::Nobody)
            && tail.begun() <= cursor.next
        {
            cursor.state = State::Ahead;
        }
    }

    /// Whether a record of the tail is for the reader.
    pub(crate) fn wants_live(&mut self, origin: Origin) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(at) = self.0.iter().position(|cursor| cursor.log == origin.log) else {
            return true;
        };
        match self.0[at].state {
            State::Behind(_) => false,
            State::Ahead if origin.offset < self.0[at].next => false,
            State::Ahead => {
                self.0.swap_remove(at);
                true
            }
        }
    }

    /// Whether a record of a sweep is for the reader.
    pub(crate) fn wants_swept(&mut self, origin: Origin) -> bool {
        self.swept_by(origin.log)
            .is_some_and(|cursor| origin.offset >= cursor.next)
    }

    fn swept_by(&mut self, log: u32) -> Option<&mut Cursor> {
        self.find(log)
            .filter(|cursor| matches!(cursor.state, State::Behind(By::Sweep | By::FullSweep)))
    }

    /// The sweep for which the reader has asked starts with it.
    pub(crate) fn admitted(&mut self, log: u32) {
        if let Some(cursor) = self.find(log)
            && cursor.state == State::Behind(By::Asked)
        {
            cursor.state = State::Behind(By::Sweep);
        }
    }

    /// The reader has got a record of a sweep, or all before `next` that it wanted.
    pub(crate) fn swept(&mut self, log: u32, next: i64) {
        if let Some(cursor) = self.swept_by(log) {
            cursor.next = cursor.next.max(next);
            cursor.state = State::Behind(By::Sweep);
        }
    }

    /// There was no room for a record of a sweep.
    pub(crate) fn is_full(&mut self, log: u32) {
        if let Some(cursor) = self.swept_by(log) {
            cursor.state = State::Behind(By::FullSweep);
        }
    }

    /// The sweep drops the reader, which has to ask again; with `only_full`, only one that had no room. Returns whether it
    /// was dropped.
    pub(crate) fn dropped(&mut self, log: u32, only_full: bool) -> bool {
        match self.swept_by(log) {
            Some(cursor) if !only_full || cursor.state == State::Behind(By::FullSweep) => {
                cursor.state = State::Behind(By::Nobody);
                true
            }
            _ => false,
        }
    }

    /// A sweep has brought everything before `swept_to`; `is_end`: the log has no more right now. Puts the reader back on
    /// the tail when that goes on from there; returns whether it is there.
    pub(crate) fn join(&mut self, log: u32, swept_to: i64, is_end: bool, tail: &Progress) -> bool {
        self.swept(log, swept_to);
        let Some(cursor) = self.swept_by(log) else {
            return true;
        };
        let reached = match tail.begun_record() {
            _ if tail.begun() <= swept_to => true,
            // The tail starts behind offsets that hold no record (marks of transactions); the sweep has seen that.
            None => is_end,
            Some(begun) => begun <= swept_to,
        };
        if reached {
            if is_end {
                // A place beyond the end is of a log that was cut off or made anew: what comes next is wanted.
                cursor.next = cursor.next.min(swept_to);
            }
            cursor.state = State::Ahead;
        }
        reached
    }

    /// The cursors that no sweep knows of, which are told one now.
    pub(crate) fn ask(&mut self) -> Vec<(u32, i64)> {
        self.0
            .iter_mut()
            .filter(|cursor| cursor.state == State::Behind(By::Nobody))
            .map(|cursor| {
                cursor.state = State::Behind(By::Asked);
                (cursor.log, cursor.next)
            })
            .collect()
    }

    /// The next offset that a reader wants of a log that it is not simply on the tail of; the flag says that it is
    /// behind, so that the tail's own position does not count.
    pub(crate) fn next(&self, log: u32) -> Option<(i64, bool)> {
        let cursor = self.0.iter().find(|cursor| cursor.log == log)?;
        Some((cursor.next, cursor.state != State::Ahead))
    }

    /// Whether the reader is behind anywhere.
    pub(crate) fn is_behind(&self) -> bool {
        self.0.iter().any(|cursor| cursor.state != State::Ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Origin {
        Origin { log: 3, offset }
    }

    #[test]
    fn behind_gets_from_sweeps_and_ahead_skips_what_it_has() {
        let mut cursors = Cursors::default();
        assert!(cursors.wants_live(at(4)) && !cursors.wants_swept(at(4)));
        cursors.leave(3, 5);
        assert!(!cursors.wants_live(at(9)));
        assert!(!cursors.wants_swept(at(5)), "no sweep knows of it");
        assert_eq!(cursors.ask(), [(3, 5)]);
        assert_eq!(cursors.ask(), []);
        assert!(!cursors.wants_swept(at(5)), "it waits for its turn");
        cursors.admitted(3);
        assert!(!cursors.wants_swept(at(4)) && cursors.wants_swept(at(5)));
        cursors.swept(3, 8);
        assert!(!cursors.wants_swept(at(7)) && cursors.wants_swept(at(8)));
        assert_eq!(cursors.next(3), Some((8, true)));
        let tail = Progress::at(10);
        assert!(!cursors.join(3, 9, false, &tail));
        assert!(cursors.join(3, 12, false, &tail));
        assert!(!cursors.is_behind());
        assert!(!cursors.wants_live(at(11)) && cursors.wants_live(at(12)));
        assert_eq!(cursors.next(3), None);
        // A log of its own is not touched.
        assert!(cursors.wants_live(Origin { log: 4, offset: 0 }));
    }

    #[test]
    fn a_dropped_reader_asks_again_from_where_it_was() {
        let mut cursors = Cursors::default();
        cursors.leave(3, 5);
        cursors.ask();
        cursors.admitted(3);
        cursors.swept(3, 7);
        assert!(!cursors.dropped(3, true));
        cursors.is_full(3);
        assert!(cursors.dropped(3, true));
        assert_eq!(cursors.ask(), [(3, 7)]);
    }

    #[test]
    fn the_end_of_the_log_joins_a_tail_that_starts_behind_marks() {
        let mut cursors = Cursors::default();
        cursors.leave(3, 5);
        cursors.ask();
        cursors.admitted(3);
        let tail = Progress::at(10);
        assert!(!cursors.join(3, 8, false, &tail));
        assert!(cursors.join(3, 8, true, &tail));
        // A place beyond the end of the log, which was made anew.
        cursors.leave(3, 100);
        cursors.ask();
        cursors.admitted(3);
        assert!(cursors.join(3, 8, true, &tail));
        assert!(cursors.wants_live(at(10)));
        // A tail that has begun records which the sweep has not brought is not joined at an end seen earlier.
        cursors.leave(3, 5);
        cursors.ask();
        cursors.admitted(3);
        tail.begin(10);
        assert!(!cursors.join(3, 8, true, &tail));
        assert!(cursors.join(3, 11, false, &tail));
    }
}
