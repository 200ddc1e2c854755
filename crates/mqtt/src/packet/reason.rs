//! Reason codes (§2.4). Below 0x80: it worked.

use std::fmt;

use super::Version;

/// A reason code of MQTT 5; the older versions' return codes are made from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(pub u8);

macro_rules! reason_codes {
    ($($value:literal $name:ident $text:literal)*) => {
        impl ReasonCode {
            $(#[doc = $text] pub const $name: Self = Self($value);)*

            /// What it means, for people.
            pub fn text(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "unknown reason code",
                }
            }
        }
    };
}

reason_codes! {
    0x00 SUCCESS "success"
    0x01 GRANTED_QOS_1 "granted qos 1"
    0x02 GRANTED_QOS_2 "granted qos 2"
    0x04 DISCONNECT_WITH_WILL "disconnect with will message"
    0x10 NO_MATCHING_SUBSCRIBERS "no matching subscribers"
    0x11 NO_SUBSCRIPTION_EXISTED "no subscription existed"
    0x18 CONTINUE_AUTHENTICATION "continue authentication"
    0x19 REAUTHENTICATE "re-authenticate"
    0x80 UNSPECIFIED_ERROR "unspecified error"
    0x81 MALFORMED_PACKET "malformed packet"
    0x82 PROTOCOL_ERROR "protocol error"
    0x83 IMPLEMENTATION_SPECIFIC_ERROR "implementation specific error"
    0x84 UNSUPPORTED_PROTOCOL_VERSION "unsupported protocol version"
    0x85 CLIENT_IDENTIFIER_NOT_VALID "client identifier not valid"
    0x86 BAD_USER_NAME_OR_PASSWORD "bad user name or password"
    0x87 NOT_AUTHORIZED "not authorized"
    0x88 SERVER_UNAVAILABLE "server unavailable"
    0x89 SERVER_BUSY "server busy"
    0x8a BANNED "banned"
    0x8b SERVER_SHUTTING_DOWN "server shutting down"
    0x8c BAD_AUTHENTICATION_METHOD "bad authentication method"
    0x8d KEEP_ALIVE_TIMEOUT "keep alive timeout"
    0x8e SESSION_TAKEN_OVER "session taken over"
    0x8f TOPIC_FILTER_INVALID "topic filter invalid"
    0x90 TOPIC_NAME_INVALID "topic name invalid"
    0x91 PACKET_IDENTIFIER_IN_USE "packet identifier in use"
    0x92 PACKET_IDENTIFIER_NOT_FOUND "packet identifier not found"
    0x93 RECEIVE_MAXIMUM_EXCEEDED "receive maximum exceeded"
    0x94 TOPIC_ALIAS_INVALID "topic alias invalid"
    0x95 PACKET_TOO_LARGE "packet too large"
    0x96 MESSAGE_RATE_TOO_HIGH "message rate too high"
    0x97 QUOTA_EXCEEDED "quota exceeded"
    0x98 ADMINISTRATIVE_ACTION "administrative action"
    0x99 PAYLOAD_FORMAT_INVALID "payload format invalid"
    0x9a RETAIN_NOT_SUPPORTED "retain not supported"
    0x9b QOS_NOT_SUPPORTED "qos not supported"
    0x9c USE_ANOTHER_SERVER "use another server"
    0x9d SERVER_MOVED "server moved"
    0x9e SHARED_SUBSCRIPTIONS_NOT_SUPPORTED "shared subscriptions not supported"
    0x9f CONNECTION_RATE_EXCEEDED "connection rate exceeded"
    0xa0 MAXIMUM_CONNECT_TIME "maximum connect time"
    0xa1 SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED "subscription identifiers not supported"
    0xa2 WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED "wildcard subscriptions not supported"
}

impl ReasonCode {
    /// Whether it says that something failed.
    pub fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The CONNACK return code of 3.1 and 3.1.1 (3.1.1 §3.2.2.3).
    pub(crate) fn connack_v3(self) -> u8 {
        match self {
            Self::SUCCESS => 0,
            Self::UNSUPPORTED_PROTOCOL_VERSION => 1,
            Self::CLIENT_IDENTIFIER_NOT_VALID => 2,
            Self::BAD_USER_NAME_OR_PASSWORD | Self::BAD_AUTHENTICATION_METHOD => 4,
            Self::NOT_AUTHORIZED | Self::BANNED => 5,
            _ => 3,
        }
    }

    /// The reason code that a CONNACK return code of 3.1 and 3.1.1 stands for; `None` for a reserved one.
    pub(crate) fn from_connack_v3(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::SUCCESS,
            1 => Self::UNSUPPORTED_PROTOCOL_VERSION,
            2 => Self::CLIENT_IDENTIFIER_NOT_VALID,
            3 => Self::SERVER_UNAVAILABLE,
            4 => Self::BAD_USER_NAME_OR_PASSWORD,
            5 => Self::NOT_AUTHORIZED,
            _ => return None,
        })
    }

    /// Whether a SUBACK may carry it [MQTT-3.9.3-2] of 3.1.1; table 3-8 of 5.0.
    pub(crate) fn is_of_suback(self, version: Version) -> bool {
        match self.0 {
            0..=2 | 0x80 => true,
            0x83 | 0x87 | 0x8f | 0x91 | 0x97 | 0x9e | 0xa1 | 0xa2 => version.is_v5(),
            _ => false,
        }
    }

    /// The SUBACK code: before version 5 a failure is 0x80 whatever its reason (3.1.1 §3.9.3).
    pub(crate) fn suback(self, version: Version) -> u8 {
        if version.is_v5() || !self.is_error() {
            self.0
        } else {
            Self::UNSPECIFIED_ERROR.0
        }
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x} {}", self.0, self.text())
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
