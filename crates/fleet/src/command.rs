//! Commands to a vehicle, and what it answers.
//!
//! A command is JSON on `fleet/commands/<plate>`. Who wants an answer names a response topic (MQTT 5), by convention
//! below `fleet/replies/`; the vehicle answers there with the command's correlation data.

use serde::{Deserialize, Serialize};

use crate::LatLng;

/// The largest command, in bytes.
pub const COMMAND_BYTES_MAX: usize = 1_024;

/// What a vehicle can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Command {
    /// Drive to the place nearest to `destination` at once, with whoever is on board; go on as ever from there.
    Go {
        /// Where to.
        destination: LatLng,
    },
    /// Drive to the company's depot at once, and stay there until the next `go`.
    Recall,
}

/// What a vehicle answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "status",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
pub enum Reply {
    /// It does so.
    Accepted {
        /// Where its new trip ends: the place that is nearest to what was asked for.
        destination: LatLng,
        /// Seconds until it is there, by the vehicle's clock.
        eta_seconds: f64,
    },
    /// It goes on as before.
    Refused {
        /// Why, for people.
        reason: String,
    },
}

/// Why a payload is not a command.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCommand {
    /// Longer than [`COMMAND_BYTES_MAX`].
    #[error("a command has at most {COMMAND_BYTES_MAX} bytes")]
    TooLong,
    /// Not JSON, or not of this form.
    #[error("not a command: {0}")]
    Json(#[from] serde_json::Error),
    /// Nowhere on Earth.
    #[error("destination is out of range")]
    Destination,
}

impl Command {
    /// Reads and checks one payload.
    ///
    /// # Errors
    /// When it is too long, isn't JSON of this form, or its destination is not on Earth.
    pub fn from_json(payload: &[u8]) -> Result<Self, InvalidCommand> {
        if payload.len() > COMMAND_BYTES_MAX {
            return Err(InvalidCommand::TooLong);
        }
        match serde_json::from_slice(payload)? {
            Self::Go { destination } if !destination.is_valid() => Err(InvalidCommand::Destination),
            command => Ok(command),
        }
    }
}

impl Reply {
    /// The payload to publish.
    ///
    /// # Panics
    /// Never: the type has no map with non-text keys and no failing serializer.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a reply is plain data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_samples_read_and_write_the_same_json() {
        fn same<T: Serialize>(read: &T, sample: &str) {
            let sample: serde_json::Value = serde_json::from_str(sample).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), sample);
        }
        let go = include_str!("../samples/command_go.json");
        let command = Command::from_json(go.as_bytes()).unwrap();
        let destination = LatLng::new(40.7527, -73.9772);
        assert_eq!(command, Command::Go { destination });
        same(&command, go);

        let recall = include_str!("../samples/command_recall.json");
        let command = Command::from_json(recall.as_bytes()).unwrap();
        assert_eq!(command, Command::Recall);
        same(&command, recall);

        let accepted = include_str!("../samples/reply_accepted.json");
        same(&serde_json::from_str::<Reply>(accepted).unwrap(), accepted);
        let refused = include_str!("../samples/reply_refused.json");
        same(&serde_json::from_str::<Reply>(refused).unwrap(), refused);
    }

    #[test]
    fn what_is_not_a_command_says_why() {
        let long = vec![b' '; COMMAND_BYTES_MAX + 1];
        for (payload, reason) in [
            (&b""[..], "not a command: EOF"),
            (b"go", "not a command: expected"),
            (b"{}", "missing field `command`"),
            (br#"{"command":"fly"}"#, "unknown variant `fly`"),
            (br#"{"command":"go"}"#, "missing field `destination`"),
            (
                br#"{"command":"go","destination":{"lat":91,"lng":0}}"#,
                "destination is out of range",
            ),
            (&long, "at most 1024 bytes"),
        ] {
            let error = Command::from_json(payload).unwrap_err().to_string();
            assert!(error.contains(reason), "`{error}` has no `{reason}`");
        }
    }
}
