//! How far a group is with one partition: which of its records are taken and not finished, and what of that is committed.
//!
//! A commit is one offset: everything before it is finished. What is finished behind it, since records are finished in any
//! order, goes with the commit as its metadata, so that who gets the partition next gives none of that again:
//! `120:3,9` behind an offset of 1000 says that of the records from 1000 to 1119 only 1000, 1003 and 1009 are unfinished.

use std::collections::{BTreeMap, BTreeSet};

/// The longest metadata of a commit, in bytes: Kafka takes 4096 unless it is told otherwise. What does not fit is given
/// again.
const METADATA_BYTES_MAX: usize = 3000;

/// How far a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It waits here: it can still be taken away.
    Taken,
    /// It is on its way to somebody.
    Begun,
    /// The same, and it must never go to anybody else.
    BegunOnce,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Every record before this offset was given; `None` before the first, where the group has no offset.
    next: Option<i64>,
    unfinished: BTreeMap<i64, Step>,
    /// Every finished record is before this offset.
    finished_end: i64,
    /// Of the records before `finished_end` that did not come yet, those that an earlier owner has not finished.
    inherited: BTreeSet<i64>,
    /// Before this offset, only `inherited` ones are wanted.
    known_end: i64,
    /// What was committed last.
    committed: Option<(i64, String)>,
    /// Nothing is begun any more.
    is_revoked: bool,
}

impl Window {
    /// Goes on from a commit.
    pub(crate) fn resume(offset: i64, metadata: &str) -> Self {
        let (known_end, inherited) = read(offset, metadata).unwrap_or_default();
        Self {
            next: Some(offset),
            finished_end: known_end,
            inherited,
            known_end,
            ..Self::default()
        }
    }

    /// A record has come; returns whether it is wanted, and then it is taken.
    pub(crate) fn take(&mut self, offset: i64) -> bool {
        let is_wanted = offset >= self.known_end || self.inherited.contains(&offset);
        // Those before it are gone: retention or compaction has removed them.
        self.inherited = self.inherited.split_off(&(offset + 1));
        self.next = self.next.max(Some(offset + 1));
        if is_wanted {
            self.unfinished.insert(offset, Step::Taken);
        } else {
            self.finished_end = self.finished_end.max(offset + 1);
        }
        is_wanted
    }

    /// A record is about to go to somebody; `once`: to nobody else then. Returns whether it may.
    pub(crate) fn begin(&mut self, offset: i64, once: bool) -> bool {
        match self.unfinished.get_mut(&offset) {
            Some(step) if !self.is_revoked => {
                *step = if once { Step::BegunOnce } else { Step::Begun };
                true
            }
            _ => false,
        }
    }

    /// A record waits again; returns whether somebody else may get it here.
    pub(crate) fn take_back(&mut self, offset: i64) -> bool {
        match self.unfinished.get_mut(&offset) {
            Some(step) => {
                *step = Step::Taken;
                !self.is_revoked
            }
            None => false,
        }
    }

    pub(crate) fn finish(&mut self, offset: i64) {
        if self.unfinished.remove(&offset).is_some() {
            self.finished_end = self.finished_end.max(offset + 1);
        }
    }

    /// From now on nothing is begun.
    pub(crate) fn revoke(&mut self) {
        self.is_revoked = true;
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.is_revoked
    }

    /// Whether something is on its way.
    pub(crate) fn has_begun(&self) -> bool {
        self.unfinished.values().any(|step| *step != Step::Taken)
    }

    /// What went out once counts as finished, whatever became of it.
    pub(crate) fn finish_once(&mut self) {
        let once: Vec<i64> = self
            .unfinished
            .iter()
            .filter(|(_, step)| **step == Step::BegunOnce)
            .map(|(offset, _)| *offset)
            .collect();
        for offset in once {
            self.finish(offset);
        }
    }

    /// What to commit, if it has changed.
    pub(crate) fn due(&mut self) -> Option<(i64, String)> {
        let end = self.next?.max(self.finished_end);
        let lowest = [self.unfinished.keys().next(), self.inherited.first()];
        let commit = match lowest.into_iter().flatten().min().copied() {
            None => (end, String::new()),
            Some(first) => {
                let taken = self.unfinished.range(..self.finished_end);
                let behind: BTreeSet<i64> = taken
                    .map(|(offset, _)| *offset)
                    .chain(self.inherited.iter().copied())
                    .filter(|offset| *offset > first)
                    .collect();
                (first, write(first, self.finished_end, &behind))
            }
        };
        if self.committed.as_ref() == Some(&commit) {
            return None;
        }
        self.committed = Some(commit.clone());
        Some(commit)
    }

    /// The last commit may not have been taken.
    pub(crate) fn commit_again(&mut self) {
        self.committed = None;
    }
}

/// The metadata of a commit at `first`, the first unfinished record: what is unfinished `behind` it, before `known_end`.
fn write(first: i64, known_end: i64, behind: &BTreeSet<i64>) -> String {
    let mut known_end = known_end;
    let mut list = String::new();
    for offset in behind {
        if list.len() >= METADATA_BYTES_MAX {
            known_end = *offset;
            break;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(&(offset - first).to_string());
    }
    match known_end > first {
        true => format!("{}:{list}", known_end - first),
        false => String::new(),
    }
}

/// What [`write`] wrote: the end of what is known, and what is unfinished before it.
fn read(first: i64, metadata: &str) -> Option<(i64, BTreeSet<i64>)> {
    let (known, list) = metadata.split_once(':')?;
    let offset = |text: &str| {
        let after: i64 = text.parse().ok().filter(|after| *after >= 0)?;
        first.checked_add(after)
    };
    let known_end = offset(known)?;
    let mut unfinished = BTreeSet::from([first]);
    for text in list.split(',').filter(|text| !text.is_empty()) {
        unfinished.insert(offset(text)?);
    }
    Some((known_end, unfinished))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(window: &mut Window, offsets: impl IntoIterator<Item = i64>) -> Vec<i64> {
        offsets.into_iter().filter(|at| window.take(*at)).collect()
    }

    #[test]
    fn the_lowest_unfinished_offset_is_committed_and_what_is_finished_behind_it_goes_along() {
        let mut window = Window::resume(10, "");
        assert_eq!(window.due(), Some((10, String::new())));
        assert_eq!(window.due(), None, "nothing has changed");
        assert_eq!(taken(&mut window, 10..16), [10, 11, 12, 13, 14, 15]);
        assert_eq!(window.due(), None);
        for offset in [13, 11, 11] {
            window.finish(offset);
        }
        assert_eq!(window.due(), Some((10, "4:2".to_owned())));

        // The next owner takes what is unfinished, and what came later.
        let mut next = Window::resume(10, "4:2");
        assert_eq!(next.due(), Some((10, "4:2".to_owned())), "as it was");
        assert_eq!(taken(&mut next, [10]), [10]);
        next.finish(10);
        assert_eq!(next.due(), Some((12, "2:".to_owned())));
        assert_eq!(taken(&mut next, 11..16), [12, 14, 15]);
        next.finish(12);
        assert_eq!(next.due(), Some((14, String::new())));
        next.finish(14);
        next.finish(15);
        assert_eq!(next.due(), Some((16, String::new())));

        window.finish(10);
        window.finish(12);
        assert_eq!(window.due(), Some((14, String::new())));
        window.commit_again();
        assert_eq!(window.due(), Some((14, String::new())));
    }

    #[test]
    fn unfinished_records_that_the_log_has_lost_hold_nothing_up() {
        let mut window = Window::resume(10, "20:5,7");
        assert_eq!(taken(&mut window, [17]), [17]);
        window.finish(17);
        assert_eq!(window.due(), Some((30, String::new())));
    }

    #[test]
    fn what_is_revoked_is_not_begun_and_what_went_out_once_is_finished() {
        let mut window = Window::default();
        assert_eq!(window.due(), None, "the group has no offset yet");
        taken(&mut window, 0..4);
        assert!(window.begin(0, true) && window.begin(1, false) && window.begin(2, false));
        assert!(window.take_back(2) && window.begin(2, false));
        window.revoke();
        assert!(!window.begin(3, false) && !window.take_back(2) && window.has_begun());
        window.finish(1);
        window.finish_once();
        assert!(!window.has_begun());
        assert_eq!(window.due(), Some((2, String::new())));
        assert!(!window.begin(9, false) && !window.take_back(9));
    }

    #[test]
    fn metadata_is_bounded_and_that_of_others_is_passed_over() {
        let mut window = Window::resume(0, "");
        taken(&mut window, 0..10_000);
        (0..10_000).filter(|at| at % 2 == 1).for_each(|at| {
            window.finish(at);
        });
        let (offset, metadata) = window.due().expect("a commit");
        assert!(metadata.len() < METADATA_BYTES_MAX + 20);
        let mut next = Window::resume(offset, &metadata);
        let again = taken(&mut next, 0..10_000);
        let unfinished = again.iter().filter(|at| *at % 2 == 0).count();
        assert_eq!(unfinished, 5000, "none is lost");
        assert!(again.len() < 10_000, "most that fit are not given again");
        for foreign in [
            "",
            "x",
            ":",
            "-1:",
            "5:x",
            "9223372036854775807:",
            "5:-2",
            "consumer-1",
        ] {
            assert_eq!(
                taken(&mut Window::resume(7, foreign), [7]),
                [7],
                "{foreign}"
            );
        }
    }
}
