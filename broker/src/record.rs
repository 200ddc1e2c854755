//! An MQTT message as a Kafka record, and back: payload is the value, properties are headers.
//!
//! | header | what |
//! |---|---|
//! | `mqtt.qos` | `0`, `1` or `2`, as published; a record without it goes at the subscriber's QoS |
//! | `mqtt.retain` | `1` when published as retained |
//! | `mqtt.client` | client identifier of the publisher |
//! | `mqtt.expiry` | seconds that the message is of use, from the record's timestamp |
//! | `mqtt.format` | payload format indicator |
//! | `mqtt.content-type`, `mqtt.response-topic`, `mqtt.correlation-data` | the properties of those names |
//! | `mqtt.user.NAME` | a user property whose name starts with `mqtt.` |
//! | any other | a user property |
//!
//! None of them has to be there: a record that anybody writes is a message. An empty payload is a tombstone.

use std::borrow::Cow;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka::Record;
use mqtt::packet::Publish;
use mqtt::properties::Properties;
use mqtt::session::{Extra, Message};
use mqtt::wire::{FIELD_BYTES_MAX, Text};
use mqtt::{QoS, TopicName};

const RESERVED: &str = "mqtt.";
const QOS: &str = "mqtt.qos";
const RETAIN: &str = "mqtt.retain";
/// Header that names the publisher: a subscription with No Local passes its own messages over.
pub(crate) const CLIENT: &str = "mqtt.client";
const EXPIRY: &str = "mqtt.expiry";
const FORMAT: &str = "mqtt.format";
const CONTENT_TYPE: &str = "mqtt.content-type";
const RESPONSE_TOPIC: &str = "mqtt.response-topic";
const CORRELATION_DATA: &str = "mqtt.correlation-data";
const ESCAPED_USER: &str = "mqtt.user.";

/// A header as it is lent to the producer.
pub(crate) type Header<'a> = (Cow<'a, str>, Cow<'a, [u8]>);

/// Headers of a publish.
pub(crate) fn headers<'a>(publish: &'a Publish, client_id: &'a str) -> Vec<Header<'a>> {
    let mut headers: Vec<Header<'a>> = Vec::with_capacity(3);
    let qos: &[u8] = match publish.qos {
        QoS::AtMostOnce => b"0",
        QoS::AtLeastOnce => b"1",
        QoS::ExactlyOnce => b"2",
    };
    headers.push((QOS.into(), qos.into()));
    if publish.retain {
        headers.push((RETAIN.into(), b"1"[..].into()));
    }
    headers.push((CLIENT.into(), client_id.as_bytes().into()));
    if publish.properties.is_empty() {
        return headers;
    }
    let properties = &publish.properties;
    let number = |number: u32| Cow::Owned(number.to_string().into_bytes());
    if let Some(seconds) = properties.message_expiry_s {
        headers.push((EXPIRY.into(), number(seconds)));
    }
    if let Some(format) = properties.payload_format {
        headers.push((FORMAT.into(), number(format.into())));
    }
    for (name, value) in [
        (CONTENT_TYPE, &properties.content_type),
        (RESPONSE_TOPIC, &properties.response_topic),
    ] {
        if let Some(value) = value {
            headers.push((name.into(), value.as_bytes().into()));
        }
    }
    if let Some(data) = &properties.correlation_data {
        headers.push((CORRELATION_DATA.into(), data[..].into()));
    }
    for (name, value) in &properties.user {
        let name = if name.starts_with(RESERVED) {
            Cow::Owned(format!("{ESCAPED_USER}{name}"))
        } else {
            Cow::Borrowed(name.as_str())
        };
        headers.push((name, value.as_bytes().into()));
    }
    headers
}

/// The message of a record. `None` when it has expired, or its MQTT topic can't be one.
pub(crate) fn message(record: &Record, mqtt_topic: &str) -> Option<Message> {
    let topic = TopicName::try_from(mqtt_topic).ok()?;
    let mut properties = Properties::default();
    // A record of another producer has no QoS: the subscription's decides.
    let mut qos = QoS::ExactlyOnce;
    let mut retain = false;
    for (name, value) in &record.headers {
        match name.as_str() {
            QOS => {
                qos = number(value)
                    .and_then(|n: u8| QoS::try_from(n).ok())
                    .unwrap_or(qos)
            }
            RETAIN => retain = &value[..] == b"1",
            CLIENT => {}
            EXPIRY => properties.message_expiry_s = number(value),
            FORMAT => properties.payload_format = number(value).filter(|n| *n <= 1),
            CONTENT_TYPE => properties.content_type = text(value),
            RESPONSE_TOPIC => properties.response_topic = text(value).filter(is_topic_name),
            CORRELATION_DATA => {
                properties.correlation_data =
                    Some(value.clone()).filter(|data| data.len() <= FIELD_BYTES_MAX);
            }
            other => {
                let name = match other.strip_prefix(ESCAPED_USER) {
                    Some(name) => name,
                    None if other.starts_with(RESERVED) => continue,
                    None => other,
                };
                // A header that is not text, or longer than MQTT's, can't be a user property.
                let name = Bytes::copy_from_slice(name.as_bytes());
                if let (Some(name), Some(value)) = (text(&name), text(value)) {
                    properties.user.push((name, value));
                }
            }
        }
    }
    let expires = match properties.message_expiry_s {
        None => None,
        Some(seconds) => {
            let left = time_left(record.timestamp_ms, seconds)?;
            properties.message_expiry_s =
                Some(u32::try_from(left.as_millis().div_ceil(1000)).ok()?);
            Some(Instant::now() + left)
        }
    };
    let payload = record.value.clone().unwrap_or_default();
    Some(Message::new(
        topic, qos, retain, properties, payload, expires,
    ))
}

/// Name of the user property of SUBSCRIBE with which a subscriber asks where its messages are in Kafka; the value is `true`.
pub(crate) const METADATA: &str = "kafka-metadata";

/// Where a record is in Kafka, as user properties.
pub(crate) fn source(kafka_topic: &str, partition: i32, offset: i64, timestamp_ms: i64) -> Extra {
    let text = |number: i64| Text::from(number.to_string().as_str());
    [
        ("kafka-topic", Text::from(kafka_topic)),
        ("kafka-partition", text(partition.into())),
        ("kafka-offset", text(offset)),
        ("kafka-timestamp", text(timestamp_ms)),
    ]
    .map(|(name, value)| (Text::from(name), value))
    .into()
}

fn text(bytes: &Bytes) -> Option<Text> {
    Text::new(bytes.clone()).ok()
}

/// [MQTT-3.3.2-14]
fn is_topic_name(text: &Text) -> bool {
    TopicName::new(text.clone()).is_ok()
}

fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// What is left of `seconds` from the record's timestamp; `None` when nothing is.
fn time_left(timestamp_ms: i64, seconds: u32) -> Option<Duration> {
    let written = UNIX_EPOCH + Duration::from_millis(u64::try_from(timestamp_ms).unwrap_or(0));
    let lifetime = Duration::from_secs(seconds.into());
    // A record from the future (another machine's clock) has all of its time left.
    let age = SystemTime::now()
        .duration_since(written)
        .unwrap_or_default();
    lifetime.checked_sub(age).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use mqtt::{Packet, Version, codec};
    use proptest::prelude::*;

    fn record(value: &[u8], headers: Vec<(Cow<'_, str>, Cow<'_, [u8]>)>) -> Record {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Record {
            kafka_topic: "k".into(),
            partition: 0,
            offset: 0,
            timestamp_ms: now.as_millis() as i64,
            key: None,
            value: Some(Bytes::copy_from_slice(value)),
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.into_owned(), Bytes::from(value.into_owned())))
                .collect(),
        }
    }

    #[test]
    fn properties_go_through_headers_and_come_back() {
        let mut properties = Properties::default();
        properties.message_expiry_s = Some(60);
        properties.payload_format = Some(1);
        properties.content_type = Some("application/json".into());
        properties.response_topic = Some("answers".into());
        properties.correlation_data = Some(Bytes::from_static(b"\x00\xff"));
        properties.user = vec![
            ("a".into(), "1".into()),
            ("a".into(), "2".into()),
            ("mqtt.qos".into(), "not a qos".into()),
        ];
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: true,
            topic: None,
            packet_id: None,
            properties: properties.clone(),
            payload: Bytes::from_static(b"{}"),
        };
        let headers = headers(&publish, "c1");
        assert!(headers.contains(&("mqtt.client".into(), b"c1"[..].into())));
        let message = message(&record(b"{}", headers), "a/b").unwrap();
        assert_eq!((message.qos, message.retain), (QoS::AtLeastOnce, true));
        assert_eq!(message.properties(), &properties);
        assert_eq!(&message.payload()[..], b"{}");
    }

    #[test]
    fn a_plain_record_is_a_message_at_the_subscribers_qos() {
        let plain = record(
            b"x",
            vec![
                ("trace".into(), b"7"[..].into()),
                ("bin".into(), b"\xff"[..].into()),
            ],
        );
        let message = message(&plain, "a").unwrap();
        assert_eq!((message.qos, message.retain), (QoS::ExactlyOnce, false));
        assert_eq!(message.properties().user, [("trace".into(), "7".into())]);
    }

    #[test]
    fn a_tombstone_is_an_empty_payload() {
        let mut tombstone = record(b"", vec![]);
        tombstone.value = None;
        assert!(message(&tombstone, "a").unwrap().payload().is_empty());
    }

    #[test]
    fn mqtt_3_3_2_5_an_expired_record_is_no_message() {
        let mut old = record(b"x", vec![(EXPIRY.into(), b"10"[..].into())]);
        old.timestamp_ms -= 11_000;
        assert!(message(&old, "a").is_none());
        old.timestamp_ms += 5_500;
        let left = message(&old, "a").unwrap().properties().message_expiry_s;
        assert!(matches!(left, Some(4..=5)), "{left:?}");
    }

    fn header() -> impl Strategy<Value = (String, Bytes)> {
        let name = prop_oneof![
            "mqtt\\.(qos|retain|client|expiry|format|content-type|response-topic|correlation-data|user\\.|user\\.a)",
            "[a-zé#]{0,8}",
        ];
        let value = prop_oneof![
            "[0-9a-zé/#-]{0,12}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..12),
            Just(vec![b'x'; FIELD_BYTES_MAX + 1]),
        ];
        (name, value.prop_map(Bytes::from))
    }

    proptest! {
        #[test]
        fn whatever_a_producer_writes_is_sent_as_a_packet_that_reads_back(
            headers in prop::collection::vec(header(), 0..6),
            timestamp_ms in any::<i64>(),
            topic in "[a-z/+#é]{0,6}",
        ) {
            let mut record = record(b"x", vec![]);
            record.headers = headers;
            record.timestamp_ms = timestamp_ms;
            if let Some(message) = message(&record, &topic) {
                let publish = Publish {
                    dup: false,
                    qos: QoS::AtMostOnce,
                    retain: message.retain,
                    topic: Some(message.topic().clone()),
                    packet_id: None,
                    properties: message.properties().clone(),
                    payload: message.payload().clone(),
                };
                let packet = Packet::Publish(publish);
                let mut bytes = BytesMut::new();
                codec::encode(&packet, Version::V5, &mut bytes);
                prop_assert_eq!(codec::decode(&mut bytes, Version::V5, usize::MAX), Ok(Some(packet)));
            }
        }
    }
}
