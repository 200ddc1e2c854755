//! CONNECT (§3.1).
//!
//! ```text
//! protocol name    string: MQTT, or MQIsdp in 3.1
//! version          u8: 3, 4 or 5
//! flags            u8: user name, password, will retain, will qos (2 bits), will, clean start, reserved 0
//! keep alive       u16, seconds; 0: off
//! properties       since 5
//! client id        string
//! will             will properties (since 5), topic (string), payload (binary): if the will flag is set
//! user name        string, if its flag is set
//! password         binary, if its flag is set
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use super::{QoS, Version};
use crate::properties::{Properties, place};
use crate::wire::{Reader, Text, put_binary, put_text};
use crate::{TopicName, Violation};

const USER_NAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const WILL_RETAIN: u8 = 0x20;
const WILL: u8 = 0x04;
const CLEAN_START: u8 = 0x02;

/// A client's first packet. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// The version of this and every later packet of the connection.
    pub version: Version,
    /// Start a new session even if there is one. `clean session` before version 5.
    pub clean_start: bool,
    /// Seconds; 0 means no limit.
    pub keep_alive_s: u16,
    /// Properties (version 5).
    pub properties: Properties,
    /// May be empty: the server then chooses.
    pub client_id: Text,
    /// What is published when the connection is lost.
    pub will: Option<Will>,
    /// User name.
    pub username: Option<Text>,
    /// Password.
    pub password: Option<Bytes>,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean_start", &self.clean_start)
            .field("keep_alive_s", &self.keep_alive_s)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A Last Will (§3.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: TopicName,
    /// Its payload.
    pub payload: Bytes,
    /// Its quality of service.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Its properties (version 5), the delay among them.
    pub properties: Properties,
}

impl Connect {
    pub(crate) fn read(mut body: Reader) -> Result<Self, Violation> {
        let name = body.text()?;
        let level = body.u8()?;
        let version = match (name.as_str(), level) {
            ("MQIsdp", 3) => Version::V3_1,
            ("MQTT", 4) => Version::V3_1_1,
            ("MQTT", 5) => Version::V5,
            ("MQTT" | "MQIsdp", other) => return Err(Violation::ProtocolVersion(other)),
            _ => return Err(Violation::ProtocolName),
        };
        let flags = body.u8()?;
        check_flags(flags, version)?;
        let keep_alive_s = body.u16()?;
        let properties = properties(&mut body, version, place::CONNECT)?;
        let client_id = body.text()?;
        let will = if flags & WILL == 0 {
            None
        } else {
            Some(Will {
                properties: self::properties(&mut body, version, place::WILL)?,
                topic: TopicName::new(body.text()?)?,
                payload: body.binary()?,
                qos: QoS::try_from((flags >> 3) & 3)?,
                retain: flags & WILL_RETAIN != 0,
            })
        };
        let username = flag(flags, USER_NAME).then(|| body.text()).transpose()?;
        let password = flag(flags, PASSWORD).then(|| body.binary()).transpose()?;
        if !body.is_empty() {
            return Err(Violation::TrailingBytes);
        }
        Ok(Self {
            version,
            clean_start: flag(flags, CLEAN_START),
            keep_alive_s,
            properties,
            client_id,
            will,
            username,
            password,
        })
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        let (name, level) = match self.version {
            Version::V3_1 => ("MQIsdp", 3),
            Version::V3_1_1 => ("MQTT", 4),
            Version::V5 => ("MQTT", 5),
        };
        put_text(out, name);
        out.put_u8(level);
        out.put_u8(self.flags());
        out.put_u16(self.keep_alive_s);
        if self.version.is_v5() {
            self.properties.write(out);
        }
        put_text(out, &self.client_id);
        if let Some(will) = &self.will {
            if self.version.is_v5() {
                will.properties.write(out);
            }
            put_text(out, will.topic.as_str());
            put_binary(out, &will.payload);
        }
        if let Some(username) = &self.username {
            put_text(out, username);
        }
        if let Some(password) = &self.password {
            put_binary(out, password);
        }
    }

    fn flags(&self) -> u8 {
        let bit = |set: bool, flag: u8| if set { flag } else { 0 };
        let will = self.will.as_ref().map_or(0, |will| {
            WILL | ((will.qos as u8) << 3) | bit(will.retain, WILL_RETAIN)
        });
        will | bit(self.clean_start, CLEAN_START)
            | bit(self.username.is_some(), USER_NAME)
            | bit(self.password.is_some(), PASSWORD)
    }
}

fn flag(flags: u8, flag: u8) -> bool {
    flags & flag != 0
}

/// [MQTT-3.1.2-3] reserved; [MQTT-3.1.2-11], [MQTT-3.1.2-13] no will, no will bits; 3.1.1: no password without a user.
fn check_flags(flags: u8, version: Version) -> Result<(), Violation> {
    let will_bits = flags & (WILL_RETAIN | 0x18);
    let lonely_password = !version.is_v5() && flag(flags, PASSWORD) && !flag(flags, USER_NAME);
    if flags & 1 != 0 || (!flag(flags, WILL) && will_bits != 0) || lonely_password {
        return Err(Violation::ConnectFlags);
    }
    Ok(())
}

fn properties(body: &mut Reader, version: Version, place: u16) -> Result<Properties, Violation> {
    if version.is_v5() {
        Properties::read(body, place)
    } else {
        Ok(Properties::default())
    }
}
