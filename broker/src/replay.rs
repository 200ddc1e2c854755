//! History first: a SUBSCRIBE with the user property `from` gets records from an earlier offset on, then live ones.
//!
//! `earliest`; a time as RFC 3339 has it; `-15m` (s, m, h, d) before now; `offset:N` in every partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka::Progress;
use mqtt::session::{Delivery, Origin};
use parking_lot::Mutex;

use crate::cursors::Cursors;
use crate::mailbox::{Mailbox, Swept};

/// Name of the user property of SUBSCRIBE.
pub(crate) const FROM: &str = "from";

/// Where history starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// At the oldest record.
    Earliest,
    /// At the first record that is not older: milliseconds since the Unix epoch.
    Time(i64),
    /// At this offset.
    Offset(i64),
}

impl From {
    /// Reads the property's value; `None` when it is not of the form.
    pub(crate) fn parse(text: &str, now: SystemTime) -> Option<Self> {
        if text == "earliest" {
            return Some(Self::Earliest);
        }
        if let Some(offset) = text.strip_prefix("offset:") {
            let offset = offset.parse().ok().filter(|offset| *offset >= 0)?;
            return Some(Self::Offset(offset));
        }
        let time = match text.strip_prefix('-') {
            Some(ago) => now.checked_sub(duration(ago)?)?,
            None => humantime::parse_rfc3339_weak(text).ok()?,
        };
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(Self::Time(i64::try_from(since_epoch.as_millis()).ok()?))
    }
}

fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

/// A subscription that gets history. Like a session it is behind in some logs, and then on the tail; unlike a session's
/// cursors, these count at QoS 0, too.
pub(crate) struct Replay {
    mailbox: Arc<Mailbox>,
    cursors: Mutex<Cursors>,
    /// On the tail everywhere: from here on it is a subscription like any other.
    is_over: AtomicBool,
}

impl Replay {
    /// One that wants each log from an offset on.
    pub(crate) fn new(mailbox: Arc<Mailbox>, from: impl IntoIterator<Item = (u32, i64)>) -> Self {
        let mut cursors = Cursors::default();
        for (log, next) in from {
            cursors.leave(log, next);
        }
        Self {
            mailbox,
            is_over: AtomicBool::new(!cursors.is_behind()),
            cursors: Mutex::new(cursors),
        }
    }

    /// Whether all of history has been brought.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Whether a message of the tail is for the subscription.
    pub(crate) fn is_on_tail(&self, origin: Option<Origin>) -> bool {
        origin.is_none_or(|origin| self.cursors.lock().wants_live(origin))
    }

    /// A message of a sweep.
    pub(crate) fn sweep(&self, delivery: Delivery) -> Swept {
        let Some(origin) = delivery.message.origin else {
            return Swept::Done;
        };
        let mut cursors = self.cursors.lock();
        if !cursors.wants_swept(origin) {
            return Swept::Done;
        }
        let swept = self.mailbox.offer(delivery);
        match swept {
            Swept::Done => cursors.swept(origin.log, origin.offset + 1),
            Swept::Full => cursors.is_full(origin.log),
        }
        swept
    }

    /// See [`Cursors::ask`].
    pub(crate) fn ask(&self) -> Vec<(u32, i64)> {
        self.cursors.lock().ask()
    }

    /// See [`Cursors::join`].
    pub(crate) fn join(&self, log: u32, swept_to: i64, is_end: bool, tail: &Progress) -> bool {
        let mut cursors = self.cursors.lock();
        if self.mailbox.wants_close() {
            return true;
        }
        let joined = cursors.join(log, swept_to, is_end, tail);
        self.is_over.store(!cursors.is_behind(), Ordering::SeqCst);
        joined
    }

    /// See [`Cursors::admitted`].
    pub(crate) fn admitted(&self, log: u32) {
        self.cursors.lock().admitted(log);
    }

    /// See [`Cursors::dropped`].
    pub(crate) fn dropped(&self, log: u32, only_full: bool) -> bool {
        let dropped = self.cursors.lock().dropped(log, only_full);
        self.mailbox.ring();
        dropped
    }

    /// Whether its connection ends.
    pub(crate) fn is_gone(&self) -> bool {
        self.mailbox.wants_close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_start_is_a_word_a_time_a_while_ago_or_an_offset() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let parse = |text| From::parse(text, now);
        assert_eq!(parse("earliest"), Some(From::Earliest));
        assert_eq!(parse("offset:12"), Some(From::Offset(12)));
        assert_eq!(parse("-15m"), Some(From::Time(1_000_000_000 - 900_000)));
        assert_eq!(parse("-2d"), Some(From::Time(1_000_000_000 - 172_800_000)));
        assert_eq!(parse("1970-01-02T00:00:00Z"), Some(From::Time(86_400_000)));
        for wrong in [
            "",
            "latest",
            "offset:-1",
            "offset:x",
            "-15",
            "-m",
            "-9999999999999999999d",
            "yesterday",
            "15m",
            "-1é",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_is_a_start_or_is_none(text in "(offset:|-|)[0-9a-zT:.Z+é-]{0,24}") {
            // It does not panic, and history starts nowhere before the epoch.
            let from = From::parse(&text, SystemTime::now());
            prop_assert!(!matches!(from, Some(From::Time(ms) | From::Offset(ms)) if ms < 0));
        }
    }
}
