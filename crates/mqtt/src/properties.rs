//! The properties of MQTT 5 (§2.2.2): one struct for all packets, with the table of which packet may carry which.
//!
//! ```text
//! property length   variable integer, bytes of the properties that follow
//! each property     identifier (one byte; all known ones fit), then a value of the identifier's type
//! ```

use std::ops::{Deref, DerefMut};

use bytes::{BufMut, Bytes, BytesMut};

use crate::Violation;
use crate::wire::{
    Reader, Text, VARINT_MAX, binary_len, put_binary, put_text, put_varint, varint_len,
};

/// Where a property may stand; several are or-ed.
pub(crate) mod place {
    pub(crate) const CONNECT: u16 = 1;
    pub(crate) const CONNACK: u16 = 1 << 1;
    pub(crate) const PUBLISH: u16 = 1 << 2;
    pub(crate) const WILL: u16 = 1 << 3;
    pub(crate) const ACK: u16 = 1 << 4;
    pub(crate) const SUBSCRIBE: u16 = 1 << 5;
    pub(crate) const UNSUBSCRIBE: u16 = 1 << 6;
    pub(crate) const DISCONNECT: u16 = 1 << 7;
    pub(crate) const AUTH: u16 = 1 << 8;
}
use place::{ACK, AUTH, CONNACK, CONNECT, DISCONNECT, PUBLISH, SUBSCRIBE, WILL};

/// The user property stands in every packet that has properties.
const USER_PROPERTY: u8 = 0x26;
/// The subscription identifier may stand in a PUBLISH more than once.
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;

/// The properties of one packet. Most packets have none: then it is one null pointer.
#[derive(Clone, Debug, Default, Eq)]
pub struct Properties(Option<Box<Fields>>);

static NONE: Fields = Fields::none();

impl Deref for Properties {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Properties {
    fn deref_mut(&mut self) -> &mut Fields {
        self.0.get_or_insert_with(Box::default)
    }
}

impl PartialEq for Properties {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl From<Fields> for Properties {
    fn from(fields: Fields) -> Self {
        Self(Some(Box::new(fields)))
    }
}

macro_rules! properties {
    ($($(#[$doc:meta])* $id:literal $name:ident: $type:ty, in $places:expr;)*) => {
        /// The values that are set.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Fields {
            $($(#[$doc])* pub $name: Option<$type>,)*
            /// Identifiers of the subscriptions a PUBLISH matches, or the one of a SUBSCRIBE; 1 to 268 435 455.
            pub subscription_ids: Vec<u32>,
            /// User properties in their order; a name may stand more than once.
            pub user: Vec<(Text, Text)>,
        }

        impl Fields {
            const fn none() -> Self {
                Self { $($name: None,)* subscription_ids: Vec::new(), user: Vec::new() }
            }

            fn read_one(&mut self, id: u8, place: u16, reader: &mut Reader) -> Result<(), Violation> {
                match id {
                    $($id if ($places) & place != 0 => {
                        if self.$name.is_some() {
                            return Err(Violation::DuplicateProperty(id));
                        }
                        let value = <$type as Value>::read(reader)?;
                        check(id, value.as_number())?;
                        self.$name = Some(value);
                    })*
                    SUBSCRIPTION_IDENTIFIER if (PUBLISH | SUBSCRIBE) & place != 0 => {
                        if place == SUBSCRIBE && !self.subscription_ids.is_empty() {
                            return Err(Violation::DuplicateProperty(id));
                        }
                        let value = reader.varint()?;
                        check(id, Some(value))?;
                        self.subscription_ids.push(value);
                    }
                    USER_PROPERTY => self.user.push((reader.text()?, reader.text()?)),
                    other => return Err(Violation::Property(other)),
                }
                Ok(())
            }

            fn body_len(&self) -> usize {
                let mut length = 0;
                $(if let Some(value) = &self.$name {
                    length += 1 + value.wire_len();
                })*
                for id in &self.subscription_ids {
                    length += 1 + varint_len(*id);
                }
                for (name, value) in &self.user {
                    length += 1 + name.wire_len() + value.wire_len();
                }
                length
            }

            fn write_body(&self, out: &mut BytesMut) {
                $(if let Some(value) = &self.$name {
                    out.put_u8($id);
                    value.write(out);
                })*
                for id in &self.subscription_ids {
                    out.put_u8(SUBSCRIPTION_IDENTIFIER);
                    put_varint(out, (*id).min(VARINT_MAX));
                }
                for (name, value) in &self.user {
                    out.put_u8(USER_PROPERTY);
                    put_text(out, name);
                    put_text(out, value);
                }
            }
        }
    };
}

properties! {
    /// 1: the payload is UTF-8 text; 0: bytes.
    0x01 payload_format: u8, in PUBLISH | WILL;
    /// Seconds until the message is of no use any more.
    0x02 message_expiry_s: u32, in PUBLISH | WILL;
    /// A MIME type, by habit.
    0x03 content_type: Text, in PUBLISH | WILL;
    /// Where an answer goes.
    0x08 response_topic: Text, in PUBLISH | WILL;
    /// What the answer shall carry.
    0x09 correlation_data: Bytes, in PUBLISH | WILL;
    /// Seconds the session outlives its connection; `u32::MAX` is for ever.
    0x11 session_expiry_s: u32, in CONNECT | CONNACK | DISCONNECT;
    /// The client identifier that the server chose.
    0x12 assigned_client_id: Text, in CONNACK;
    /// The keep alive that the client must use, in seconds.
    0x13 server_keep_alive_s: u16, in CONNACK;
    /// Name of the method of enhanced authentication.
    0x15 auth_method: Text, in CONNECT | CONNACK | AUTH;
    /// Data of that method.
    0x16 auth_data: Bytes, in CONNECT | CONNACK | AUTH;
    /// 0: send no reason strings and user properties but on PUBLISH, CONNACK and DISCONNECT.
    0x17 request_problem_information: u8, in CONNECT;
    /// Seconds between the loss of the connection and the will.
    0x18 will_delay_s: u32, in WILL;
    /// 1: the client wants response information.
    0x19 request_response_information: u8, in CONNECT;
    /// What the client may use to build a response topic.
    0x1a response_information: Text, in CONNACK;
    /// Another server to use.
    0x1c server_reference: Text, in CONNACK | DISCONNECT;
    /// For people: why.
    0x1f reason_string: Text, in CONNACK | ACK | DISCONNECT | AUTH;
    /// How many QoS 1 and 2 publishes the sender of this takes at a time; not 0.
    0x21 receive_maximum: u16, in CONNECT | CONNACK;
    /// The highest topic alias the sender of this takes; 0: none.
    0x22 topic_alias_maximum: u16, in CONNECT | CONNACK;
    /// A number for the topic name; not 0.
    0x23 topic_alias: u16, in PUBLISH;
    /// 0 or 1; not there: 2.
    0x24 maximum_qos: u8, in CONNACK;
    /// 0: no retained messages.
    0x25 retain_available: u8, in CONNACK;
    /// The largest packet the sender of this takes, in bytes; not 0.
    0x27 maximum_packet_size: u32, in CONNECT | CONNACK;
    /// 0: no wildcards.
    0x28 wildcard_subscription_available: u8, in CONNACK;
    /// 0: no subscription identifiers.
    0x29 subscription_id_available: u8, in CONNACK;
    /// 0: no shared subscriptions.
    0x2a shared_subscription_available: u8, in CONNACK;
}

impl Properties {
    /// Reads the length and the properties of a packet at `place`.
    pub(crate) fn read(reader: &mut Reader, place: u16) -> Result<Self, Violation> {
        let length = reader.varint()?;
        if length == 0 {
            return Ok(Self::default());
        }
        let mut body = Reader::new(reader.take(length as usize)?);
        let mut properties = Self::default();
        while !body.is_empty() {
            let id = body.u8()?;
            properties.read_one(id, place, &mut body)?;
        }
        Ok(properties)
    }

    /// Bytes that [`Self::write`] writes, the length itself included.
    pub(crate) fn len(&self) -> usize {
        let body = self.body_len();
        varint_len(body as u32) + body
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        put_varint(out, self.body_len() as u32);
        self.write_body(out);
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        **self == NONE
    }
}

/// Ranges of §2.2.2.2: which numbers are switches, which may not be 0.
fn check(id: u8, value: Option<u32>) -> Result<(), Violation> {
    let fits = match (id, value) {
        (0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a, Some(value)) => value <= 1,
        (0x23, Some(0)) => return Err(Violation::TopicAlias),
        (SUBSCRIPTION_IDENTIFIER | 0x21 | 0x27, Some(value)) => value != 0,
        _ => true,
    };
    if fits {
        Ok(())
    } else {
        Err(Violation::PropertyValue(id))
    }
}

trait Value: Sized {
    fn read(reader: &mut Reader) -> Result<Self, Violation>;
    fn write(&self, out: &mut BytesMut);
    fn wire_len(&self) -> usize;
    fn as_number(&self) -> Option<u32> {
        None
    }
}

macro_rules! number {
    ($type:ident, $put:ident) => {
        impl Value for $type {
            fn read(reader: &mut Reader) -> Result<Self, Violation> {
                reader.$type()
            }
            fn write(&self, out: &mut BytesMut) {
                out.$put(*self);
            }
            fn wire_len(&self) -> usize {
                size_of::<Self>()
            }
            fn as_number(&self) -> Option<u32> {
                Some(u32::from(*self))
            }
        }
    };
}
number!(u8, put_u8);
number!(u16, put_u16);
number!(u32, put_u32);

impl Value for Text {
    fn read(reader: &mut Reader) -> Result<Self, Violation> {
        reader.text()
    }
    fn write(&self, out: &mut BytesMut) {
        put_text(out, self);
    }
    fn wire_len(&self) -> usize {
        2 + self.as_str().len()
    }
}

impl Value for Bytes {
    fn read(reader: &mut Reader) -> Result<Self, Violation> {
        reader.binary()
    }
    fn write(&self, out: &mut BytesMut) {
        put_binary(out, self);
    }
    fn wire_len(&self) -> usize {
        2 + binary_len(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8], place: u16) -> Result<Properties, Violation> {
        Properties::read(&mut Reader::new(Bytes::from_static(bytes)), place)
    }

    #[test]
    fn each_property_stands_where_the_table_allows_it() {
        assert_eq!(
            read(&[2, 0x01, 1], PUBLISH).unwrap().payload_format,
            Some(1)
        );
        assert_eq!(read(&[2, 0x01, 1], CONNECT), Err(Violation::Property(1)));
        assert_eq!(read(&[2, 0x7f, 1], CONNECT), Err(Violation::Property(0x7f)));
    }

    #[test]
    fn mqtt_2_2_2_values_out_of_range_are_refused() {
        assert_eq!(
            read(&[2, 0x01, 2], PUBLISH),
            Err(Violation::PropertyValue(1))
        );
        assert_eq!(
            read(&[3, 0x21, 0, 0], CONNECT),
            Err(Violation::PropertyValue(0x21))
        );
        assert_eq!(read(&[3, 0x23, 0, 0], PUBLISH), Err(Violation::TopicAlias));
        assert_eq!(
            read(&[2, 0x0b, 0], SUBSCRIBE),
            Err(Violation::PropertyValue(0x0b))
        );
    }

    #[test]
    fn a_property_stands_once_but_for_user_and_subscription_ids_of_publish() {
        assert_eq!(
            read(&[4, 0x01, 1, 0x01, 1], PUBLISH),
            Err(Violation::DuplicateProperty(1))
        );
        assert_eq!(
            read(&[4, 0x0b, 1, 0x0b, 2], PUBLISH)
                .unwrap()
                .subscription_ids,
            [1, 2]
        );
        assert_eq!(
            read(&[4, 0x0b, 1, 0x0b, 2], SUBSCRIBE),
            Err(Violation::DuplicateProperty(0x0b))
        );
        let twice = [
            14, 0x26, 0, 1, b'a', 0, 1, b'b', 0x26, 0, 1, b'a', 0, 1, b'c',
        ];
        assert_eq!(
            read(Box::leak(Box::new(twice)), CONNECT).unwrap().user,
            [("a".into(), "b".into()), ("a".into(), "c".into())]
        );
    }

    #[test]
    fn a_length_past_the_end_is_refused() {
        assert_eq!(read(&[200, 1, 0x01, 1], PUBLISH), Err(Violation::Truncated));
    }
}
