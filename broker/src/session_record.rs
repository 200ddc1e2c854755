//! A session as Kafka has it: the newest record of its client identifier in the compacted session topic, as JSON.
//!
//! ```json
//! {"epoch":4711,"connected":false,"left_ms":1764000000000,"expiry_s":3600,
//!  "subscriptions":[{"filter":"a/+","qos":1}],
//!  "positions":{"mqtt_messages":[120,98,131]},
//!  "in_flight":[{"packet_id":7,"step":"rec","qos":2,"kafka_topic":"mqtt_messages","partition":0,"offset":118}],
//!  "received":[12],
//!  "will":{"delay_s":30,"due_ms":1764000030000,"publish":"base64 of a PUBLISH packet of MQTT 5"}}
//! ```
//!
//! `positions`: by Kafka topic, for each partition, the offset from which the session still wants records. `in_flight`:
//! what was sent and is not acknowledged to the end. `received`: QoS 2 identifiers of the client that wait for PUBREL.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use mqtt::packet::{Publish, RetainHandling, Subscription, SubscriptionOptions, Will};
use mqtt::session::{InFlight, Origin, Step};
use mqtt::{Packet, PacketId, QoS, TopicFilter, Version, codec};
use serde::{Deserialize, Serialize};

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    /// The claim of the connection that wrote it: see `ownership`.
    #[serde(default)]
    pub(crate) epoch: i64,
    /// The client is connected there.
    pub(crate) connected: bool,
    /// When the connection ended: milliseconds since the Unix epoch.
    #[serde(default)]
    pub(crate) left_ms: u64,
    /// How long the session outlives its connection; `u32::MAX` is for ever, 0: there is only a will to keep.
    pub(crate) expiry_s: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) subscriptions: Vec<SavedSubscription>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) positions: BTreeMap<String, Vec<i64>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) in_flight: Vec<SavedInFlight>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) received: Vec<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) will: Option<SavedWill>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedSubscription {
    pub(crate) filter: String,
    pub(crate) qos: u8,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) no_local: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) retain_as_published: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u32>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) shows_source: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedInFlight {
    pub(crate) packet_id: u16,
    pub(crate) step: SavedStep,
    pub(crate) qos: u8,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) retain: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) subscription_ids: Vec<u32>,
    pub(crate) kafka_topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SavedStep {
    Ack,
    Rec,
    Comp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedWill {
    pub(crate) delay_s: u32,
    /// When it is to be published; there once the connection is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) due_ms: Option<u64>,
    publish: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference
fn is_false(flag: &bool) -> bool {
    !flag
}

impl SessionRecord {
    /// Reads the value of a record.
    pub(crate) fn read(value: &[u8]) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(value)?)
    }

    /// The value of a record.
    pub(crate) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings can be written as JSON")
    }

    /// When the session is over, in milliseconds since the Unix epoch; `None`: never, or not before its connection ends.
    pub(crate) fn ends_ms(&self) -> Option<u64> {
        let has_end = !self.connected && self.expiry_s < u32::MAX;
        has_end.then(|| self.left_ms.saturating_add(u64::from(self.expiry_s) * 1000))
    }

    /// How long after its connection is lost something has to be done about it, in milliseconds; `None`: never, or it has
    /// no connection.
    pub(crate) fn after_loss_ms(&self) -> Option<u64> {
        let will_s = self.will.as_ref().map(|will| will.delay_s);
        let expiry_s = Some(self.expiry_s).filter(|seconds| *seconds < u32::MAX);
        let seconds = [will_s, expiry_s].into_iter().flatten().min()?;
        self.connected.then_some(u64::from(seconds) * 1000)
    }

    /// When something has to be done about it: the will is due, or the session is over.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let will_ms = self.will.as_ref().and_then(|will| will.due_ms);
        [will_ms, self.ends_ms()].into_iter().flatten().min()
    }
}

impl SavedSubscription {
    pub(crate) fn new(subscription: &Subscription, id: Option<u32>, shows_source: bool) -> Self {
        let options = subscription.options;
        Self {
            filter: subscription.filter.as_written().to_owned(),
            qos: options.qos as u8,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            id,
            shows_source,
        }
    }

    /// The subscription, which gets no retained messages for being made again.
    pub(crate) fn subscription(&self) -> anyhow::Result<Subscription> {
        Ok(Subscription {
            filter: TopicFilter::new(&self.filter)?,
            options: SubscriptionOptions {
                qos: QoS::try_from(self.qos)?,
                no_local: self.no_local,
                retain_as_published: self.retain_as_published,
                retain_handling: RetainHandling::DoNotSend,
            },
        })
    }
}

impl SavedInFlight {
    /// A message on its way, which is in the log at `kafka_topic` and `partition`.
    pub(crate) fn new(known: &InFlight, kafka_topic: &str, partition: i32, offset: i64) -> Self {
        Self {
            packet_id: known.packet_id.get(),
            step: match known.step {
                Step::Ack => SavedStep::Ack,
                Step::Rec => SavedStep::Rec,
                Step::Comp => SavedStep::Comp,
            },
            qos: known.qos as u8,
            retain: known.retain,
            subscription_ids: known.subscription_ids.clone(),
            kafka_topic: kafka_topic.to_owned(),
            partition,
            offset,
        }
    }

    /// The way back; `log` is the number of its partition.
    pub(crate) fn in_flight(&self, log: u32) -> anyhow::Result<InFlight> {
        Ok(InFlight {
            packet_id: PacketId::try_from(self.packet_id)?,
            origin: Some(Origin {
                log,
                offset: self.offset,
            }),
            qos: QoS::try_from(self.qos)?,
            retain: self.retain,
            subscription_ids: self.subscription_ids.clone(),
            step: match self.step {
                SavedStep::Ack => Step::Ack,
                SavedStep::Rec => Step::Rec,
                SavedStep::Comp => Step::Comp,
            },
            share: 0,
        })
    }
}

impl SavedWill {
    /// Whether it is to be published though its client is back: nobody has done so when its time was. `lost_ms`: when the
    /// connection was lost, as far as that is not stored.
    pub(crate) fn is_due(&self, lost_ms: Option<u64>, now_ms: u64) -> bool {
        let delay_ms = u64::from(self.delay_s) * 1000;
        let due_ms = self
            .due_ms
            .or(lost_ms.map(|ms| ms.saturating_add(delay_ms)));
        delay_ms == 0 || due_ms.is_some_and(|due_ms| due_ms <= now_ms)
    }

    pub(crate) fn new(will: &Will) -> Self {
        let delay_s = will.properties.will_delay_s.unwrap_or(0);
        let mut publish = will.clone().into_publish();
        // The packet needs an identifier; it is of no meaning here.
        publish.packet_id = PacketId::try_from(1)
            .ok()
            .filter(|_| publish.qos > QoS::AtMostOnce);
        let mut bytes = BytesMut::new();
        codec::encode(&Packet::Publish(publish), Version::V5, &mut bytes);
        Self {
            delay_s,
            due_ms: None,
            publish: BASE64.encode(&bytes),
        }
    }

    /// The message to publish.
    pub(crate) fn publish(&self) -> anyhow::Result<Publish> {
        let bytes = BASE64.decode(&self.publish).context("will")?;
        let mut bytes = BytesMut::from(&bytes[..]);
        match codec::decode(&mut bytes, Version::V5, usize::MAX)? {
            Some(Packet::Publish(mut publish)) => {
                publish.packet_id = None;
                Ok(publish)
            }
            other => bail!("a will that is no publish: {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mqtt::TopicName;
    use mqtt::properties::Properties;
    use proptest::prelude::*;

    fn will(delay_s: u32) -> Will {
        let mut properties = Properties::default();
        properties.will_delay_s = Some(delay_s);
        properties.user = vec![("a".into(), "b".into())];
        Will {
            topic: TopicName::try_from("gone").unwrap(),
            payload: Bytes::from_static(b"\x00\xff"),
            qos: QoS::AtLeastOnce,
            retain: true,
            properties,
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let record = SessionRecord {
            epoch: 7,
            connected: false,
            left_ms: 1000,
            expiry_s: 5,
            subscriptions: vec![SavedSubscription {
                filter: "$share/g/a/+".into(),
                qos: 2,
                no_local: false,
                retain_as_published: true,
                id: Some(7),
                shows_source: true,
            }],
            positions: BTreeMap::from([("k".to_owned(), vec![1, 2])]),
            in_flight: vec![SavedInFlight {
                packet_id: 3,
                step: SavedStep::Rec,
                qos: 2,
                retain: false,
                subscription_ids: vec![7],
                kafka_topic: "k".into(),
                partition: 1,
                offset: 9,
            }],
            received: vec![4],
            will: Some(SavedWill::new(&will(3))),
        };
        assert_eq!(SessionRecord::read(&record.write()).unwrap(), record);
        let will = record.will.as_ref().unwrap();
        assert_eq!(will.delay_s, 3);
        let publish = will.publish().unwrap();
        assert_eq!(publish.topic.unwrap().as_str(), "gone");
        assert_eq!(&publish.payload[..], b"\x00\xff");
        assert!(publish.retain && publish.packet_id.is_none());
        assert_eq!(publish.properties.will_delay_s, None);
        assert_eq!(publish.properties.user.len(), 1);
        let subscription = record.subscriptions[0].subscription().unwrap();
        assert_eq!(subscription.filter.share_group(), Some("g"));
    }

    #[test]
    fn what_has_to_be_done_comes_first_and_a_connected_session_has_no_end() {
        let mut record = SessionRecord {
            left_ms: 1000,
            expiry_s: 5,
            ..SessionRecord::default()
        };
        assert_eq!(record.due_ms(), Some(6000));
        let mut saved = SavedWill::new(&will(3));
        saved.due_ms = Some(4000);
        record.will = Some(saved);
        assert_eq!(record.due_ms(), Some(4000));
        record.will = None;
        record.expiry_s = u32::MAX;
        assert_eq!(record.due_ms(), None);
        record.expiry_s = 5;
        record.connected = true;
        assert_eq!(record.due_ms(), None);
    }

    #[test]
    fn what_is_not_a_session_is_an_error() {
        assert!(SessionRecord::read(b"{}").is_err());
        assert!(SessionRecord::read(b"\xff").is_err());
    }

    proptest! {
        /// The session topic is open to whoever may write to Kafka.
        #[test]
        fn a_record_that_was_tampered_with_is_read_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            left_ms in any::<u64>(),
        ) {
            let record = SessionRecord {
                left_ms,
                expiry_s: 5,
                will: Some(SavedWill::new(&will(3))),
                ..SessionRecord::default()
            };
            let mut bytes = record.write();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let Ok(read) = SessionRecord::read(&bytes) else {
                return Ok(());
            };
            let (ends, due) = (read.ends_ms(), read.due_ms());
            prop_assert!(ends.is_none_or(|ends| due.is_some_and(|due| due <= ends)));
            if let Some(Ok(publish)) = read.will.map(|will| will.publish()) {
                prop_assert_eq!(publish.packet_id, None);
            }
        }
    }
}
