//! The squares of the map: geohashes. A cell of one character more is one of 32 parts of the cell without it.

use std::fmt;
use std::str::{self, FromStr};

use ::geohash::{Coord, decode_bbox, encode};
use serde::{Deserialize, Serialize};

use crate::LatLng;

/// The longest geohash here: a cell of 38 m × 19 m at the equator.
pub const CELL_CHARS_MAX: usize = 8;

/// A map cell: a geohash of 1 to [`CELL_CHARS_MAX`] characters of `0`–`9`, `b`–`z` without `i`, `l`, `o`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cell {
    chars: [u8; CELL_CHARS_MAX],
    length: u8,
}

/// Why a text is not a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a geohash of 1 to {CELL_CHARS_MAX} characters")]
pub struct InvalidCell;

/// South-west and north-east corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellBounds {
    /// The corner with the lowest coordinates.
    pub south_west: LatLng,
    /// The corner with the highest coordinates.
    pub north_east: LatLng,
}

impl Cell {
    /// The cell of `length` characters that holds a valid position.
    ///
    /// # Panics
    /// When `at` is not valid, or `length` is not 1 to [`CELL_CHARS_MAX`]; both would be a fault of ours.
    pub fn holding(at: LatLng, length: usize) -> Self {
        let text = encode(
            Coord {
                x: at.lng,
                y: at.lat,
            },
            length,
        );
        text.ok()
            .and_then(|text| text.parse().ok())
            .expect("a valid position is in a cell")
    }

    /// The larger cell of `length` characters around this one; this one when it has no more.
    #[must_use]
    pub fn around(self, length: usize) -> Self {
        let length = length.clamp(1, self.len());
        let mut chars = [0; CELL_CHARS_MAX];
        chars[..length].copy_from_slice(&self.chars[..length]);
        Self {
            chars,
            length: u8::try_from(length).unwrap_or(1),
        }
    }

    /// Its corners.
    pub fn bounds(self) -> CellBounds {
        let bounds = decode_bbox(self.as_str()).expect("a cell is a geohash");
        let corner = |at: Coord<f64>| LatLng::new(at.y, at.x);
        CellBounds {
            south_west: corner(bounds.min()),
            north_east: corner(bounds.max()),
        }
    }

    /// How many characters it has.
    #[expect(clippy::len_without_is_empty, reason = "it has at least one")]
    pub fn len(self) -> usize {
        usize::from(self.length)
    }

    /// The geohash as text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.chars[..self.len()]).expect("a geohash is ASCII")
    }
}

impl FromStr for Cell {
    type Err = InvalidCell;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_base_32 =
            |b: u8| matches!(b, b'0'..=b'9' | b'b'..=b'z') && !matches!(b, b'i' | b'l' | b'o');
        let fits = (1..=CELL_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_base_32);
        if !fits {
            return Err(InvalidCell);
        }
        let mut chars = [0; CELL_CHARS_MAX];
        chars[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self {
            chars,
            length: u8::try_from(text.len()).unwrap_or(1),
        })
    }
}

impl TryFrom<String> for Cell {
    type Error = InvalidCell;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Cell> for String {
    fn from(cell: Cell) -> Self {
        cell.as_str().to_owned()
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES_SQUARE: LatLng = LatLng::new(40.758, -73.9855);

    #[test]
    fn a_cell_holds_its_position_and_is_within_the_larger_ones() {
        let cell = Cell::holding(TIMES_SQUARE, 6);
        assert_eq!(cell.as_str(), "dr5ru7");
        assert_eq!(cell.around(4).as_str(), "dr5r");
        assert_eq!(cell.around(4), Cell::holding(TIMES_SQUARE, 4));
        assert_eq!(cell.around(8), cell);
        let bounds = cell.bounds();
        assert!(bounds.south_west.lat <= TIMES_SQUARE.lat);
        assert!(bounds.south_west.lng <= TIMES_SQUARE.lng);
        assert!(bounds.north_east.lat > TIMES_SQUARE.lat);
        assert!(bounds.north_east.lng > TIMES_SQUARE.lng);
    }

    #[test]
    fn the_ends_of_the_world_are_in_a_cell() {
        for (lat, lng) in [(90.0, 180.0), (-90.0, -180.0), (0.0, 0.0)] {
            assert_eq!(Cell::holding(LatLng::new(lat, lng), 6).len(), 6);
        }
    }

    #[test]
    fn what_is_no_geohash_is_refused() {
        for text in ["", "a", "dr5i", "dr5R", "123456789", "d/5"] {
            assert_eq!(text.parse::<Cell>(), Err(InvalidCell), "{text}");
        }
    }
}
