//! What the aggregator keeps in Kafka for itself.
//!
//! `<group>-state`, compacted, has as many partitions as the positions: what is known about partition *p* is in its
//! partition *p*.
//!
//! | key | value |
//! |---|---|
//! | a plate | [`Known`] |
//! | `minute/<start>` | [`Minute`] |
//! | `next` | [`Progress`]: all that is before that offset is in here |
//!
//! `<group>-parts`, compacted: what each partition of the positions adds to each total.
//!
//! | key | value |
//! |---|---|
//! | `company/<name>/<p>`, `direction/<NE…>/<p>`, `cell/<geohash>/<p>` | [`Part`] |
//! | `minute/<start>/<p>` | [`Minute`] |
//! | `map/<geohash>/<p>` | a [`Frame`](fleet::Frame) |
//!
//! Values are [`postcard`]'s form of the types, behind one byte for their version; frames have a version of their own.

use std::fmt;
use std::str::{self, FromStr};

use fleet::{Cell, Direction, Plate};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::state::{Known, State};
use crate::totals::minute::Minute;
use crate::totals::part::Part;

/// The values' version. What is stored by another is not read: vehicles come in again with their next positions.
const VERSION: u8 = 1;

/// How far a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The next record wanted.
    pub(crate) offset: i64,
    /// [`Minutes::newest_ms`](crate::totals::minute::Minutes::newest_ms).
    pub(crate) newest_ms: u64,
}

pub(crate) const NEXT: &str = "next";
const MINUTE: &str = "minute/";

pub(crate) fn minute_key(start: u64) -> String {
    format!("{MINUTE}{start}")
}

/// The stored form of a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("it is plain data")
}

/// None for what [`encode`] of this version has not written.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (version, bytes) = bytes.split_first()?;
    (*version == VERSION)
        .then(|| postcard::from_bytes(bytes).ok())
        .flatten()
}

/// Takes a record of the state over; returns the progress if it says that.
pub(crate) fn restore(state: &mut State, key: &[u8], value: Option<&[u8]>) -> Option<Progress> {
    let key = str::from_utf8(key).ok()?;
    if key == NEXT {
        let progress: Progress = decode(value?)?;
        state.minutes.restore_newest(progress.newest_ms);
        return Some(progress);
    }
    if let Some(start) = key.strip_prefix(MINUTE) {
        let minute = value.and_then(decode::<Minute>);
        state.minutes.restore(start.parse().ok()?, minute);
    } else {
        let plate: Plate = key.parse().ok()?;
        state.restore(plate, value.and_then(decode::<Known>));
    }
    None
}

/// Names a total.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Total {
    Company(String),
    Direction(Direction),
    Cell(Cell),
    Minute(u64),
    Map(Cell),
}

impl Total {
    /// The key of a part: what partition `of` of the positions adds.
    pub(crate) fn part_key(&self, of: i32) -> String {
        format!("{self}/{of}")
    }

    /// What [`Total::part_key`] wrote.
    pub(crate) fn of_part_key(key: &[u8]) -> Option<(Self, i32)> {
        let (total, of) = str::from_utf8(key).ok()?.rsplit_once('/')?;
        Some((total.parse().ok()?, of.parse().ok()?))
    }

    /// The partition of the parts that has those of this total, all of them.
    pub(crate) fn partition(&self, partitions: usize) -> i32 {
        kafka::partition_of(self.to_string().as_bytes(), partitions)
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Company(company) => write!(f, "company/{company}"),
            Self::Direction(direction) => write!(f, "direction/{direction}"),
            Self::Cell(cell) => write!(f, "cell/{cell}"),
            Self::Minute(start) => write!(f, "minute/{start}"),
            Self::Map(cell) => write!(f, "map/{cell}"),
        }
    }
}

/// A text that names no total.
#[derive(Debug)]
pub(crate) struct NoTotal;

impl FromStr for Total {
    type Err = NoTotal;

    fn from_str(text: &str) -> Result<Self, NoTotal> {
        let (kind, key) = text.split_once('/').ok_or(NoTotal)?;
        Ok(match kind {
            "company" => Self::Company(key.to_owned()),
            "direction" => Self::Direction(key.parse().map_err(|_| NoTotal)?),
            "cell" => Self::Cell(key.parse().map_err(|_| NoTotal)?),
            "minute" => Self::Minute(key.parse().map_err(|_| NoTotal)?),
            "map" => Self::Map(key.parse().map_err(|_| NoTotal)?),
            _ => return Err(NoTotal),
        })
    }
}

/// The parts of the sums by key, ready to store.
pub(crate) fn part(part: Option<Part>) -> Option<Vec<u8>> {
    part.map(|part| encode(&part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{Alerts, Limits};
    use crate::totals::tests::sample;

    #[test]
    fn keys_of_parts_are_read_as_they_were_written() {
        for (total, key) in [
            (Total::Company("Zürich Öko".into()), "company/Zürich Öko/3"),
            (Total::Direction(Direction::SouthWest), "direction/SW/3"),
            (Total::Cell("dr5r".parse().unwrap()), "cell/dr5r/3"),
            (Total::Minute(60_000), "minute/60000/3"),
            (Total::Map("dr5ru".parse().unwrap()), "map/dr5ru/3"),
        ] {
            assert_eq!(total.part_key(3), key);
            assert_eq!(Total::of_part_key(key.as_bytes()), Some((total, 3)));
        }
        for key in ["", "cell/dr5r", "cell/a/1", "x/y/1", "minute/x/1"] {
            assert_eq!(Total::of_part_key(key.as_bytes()), None, "{key}");
        }
    }

    #[test]
    fn what_is_stored_is_read_and_what_is_not_ours_is_passed_over() {
        let limits = Limits {
            silent_after_ms: 1,
            stopped_after_ms: 1,
        };
        let mut state = State::new(limits, 0);
        let known = Known {
            vehicle: sample(),
            seen_ms: 7,
            is_silent: false,
            alerts: Alerts::default(),
        };
        let progress = Progress {
            offset: 12,
            newest_ms: 34,
        };
        let mut put = |key: &str, value: Option<&[u8]>| restore(&mut state, key.as_bytes(), value);
        assert_eq!(put("T1A23", Some(&encode(&known))), None);
        assert_eq!(put("T1A24", Some(&encode(&known))), None);
        assert_eq!(put("T1A24", None), None);
        assert_eq!(put("T1A25", Some(b"\x02 another version")), None);
        assert_eq!(put("no plate", Some(b"?")), None);
        assert_eq!(put(NEXT, Some(&encode(&progress))), Some(progress));
        state.restored();
        assert_eq!(state.known(&"T1A23".parse().unwrap()), Some(&known));
        assert_eq!((state.counted(), state.minutes.newest_ms()), (1, 34));
    }
}
