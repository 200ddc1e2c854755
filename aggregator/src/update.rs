//! What a record says of a vehicle, or why it says nothing. Pure.

use std::str;

use fleet::{InvalidPosition, Plate, Position};
use kafka::Record;

use crate::totals::Vehicle;

/// What a record of the positions' topic says.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The vehicle is like this now.
    Moved(Plate, Vehicle),
    /// The vehicle is gone: the record has no value, or an empty one as MQTT spells it.
    Removed(Plate),
}

/// Why a record says nothing.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// Records are kept and ordered by their key, so one without a plate as its key can't be placed.
    #[error("the key is not a plate")]
    Key,
    /// A position under another vehicle's key would remain when that vehicle is removed.
    #[error("the key is not the plate of the position")]
    OtherPlate,
    /// The value can't be read as a position.
    #[error(transparent)]
    Position(#[from] InvalidPosition),
}

impl Update {
    /// Reads one record.
    ///
    /// # Errors
    /// When it is no position of the vehicle that its key names.
    pub fn read(record: &Record) -> Result<Self, Invalid> {
        let key = record.key.as_deref().ok_or(Invalid::Key)?;
        let plate: Plate = str::from_utf8(key)
            .ok()
            .and_then(|key| key.parse().ok())
            .ok_or(Invalid::Key)?;
        match record.value.as_deref() {
            None | Some([]) => Ok(Self::Removed(plate)),
            Some(value) => {
                let position = Position::from_json(value)?;
                if position.plate != plate {
                    return Err(Invalid::OtherPlate);
                }
                Ok(Self::Moved(plate, Vehicle::of(position)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const SAMPLE: &[u8] = include_bytes!("../../crates/fleet/samples/vehicle_update.json");

    fn read(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> Result<Update, String> {
        Update::read(&Record {
            kafka_topic: "vehicle_updates".into(),
            partition: 0,
            offset: 0,
            timestamp_ms: 0,
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: vec![],
        })
        .map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn a_position_and_both_forms_of_a_removal_are_read() {
        let plate: Plate = "T1A23".parse().unwrap();
        assert!(matches!(
            read(Some(b"T1A23"), Some(SAMPLE)),
            Ok(Update::Moved(moved, vehicle)) if moved == plate && vehicle.passengers == 2
        ));
        for nothing in [None, Some(&b""[..])] {
            assert_eq!(
                read(Some(b"T1A23"), nothing),
                Ok(Update::Removed(plate.clone()))
            );
        }
    }

    #[test]
    fn what_is_no_position_says_why() {
        for (key, value, reason) in [
            (None, Some(SAMPLE), "the key is not a plate"),
            (Some(&b"a/b"[..]), Some(SAMPLE), "the key is not a plate"),
            (Some(b"\xff"), None, "the key is not a plate"),
            (
                Some(b"T1A24"),
                Some(SAMPLE),
                "the key is not the plate of the position",
            ),
            (Some(b"T1A23"), Some(b"hello"), "not a position: expected"),
        ] {
            let error = read(key, value).unwrap_err();
            assert!(error.starts_with(reason), "`{error}` is not `{reason}`");
        }
    }
}
