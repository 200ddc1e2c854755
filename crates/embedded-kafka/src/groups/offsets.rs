//! Committed offsets: a map in memory, every change first a record of the compacted topic `__consumer_offsets`.
//!
//! Key `["group","topic",partition]`, value `{"offset":…}`, both JSON (Kafka's own are binary).

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};

use crate::log::segment::now_ms;
use crate::topics::Topic;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Option<String>,
    pub(crate) committed_ms: i64,
}

/// Topic and partition.
pub(crate) type Place = (String, i32);

#[derive(Debug)]
pub(crate) struct Offsets {
    topic: Arc<Topic>,
    groups: BTreeMap<String, BTreeMap<Place, Committed>>,
}

impl Offsets {
    /// Reads the topic from its start.
    pub(crate) fn open(topic: Arc<Topic>) -> io::Result<Offsets> {
        let mut groups: BTreeMap<String, BTreeMap<Place, Committed>> = BTreeMap::new();
        let partition = topic.partition(0).ok_or(io::ErrorKind::NotFound)?;
        let mut foreign = 0;
        partition.for_each(|key, value| {
            let Ok((group, topic, index)) = serde_json::from_slice::<(String, String, i32)>(key)
            else {
                foreign += 1;
                return;
            };
            match value.and_then(|value| serde_json::from_slice(value).ok()) {
                Some(committed) => {
                    groups
                        .entry(group)
                        .or_default()
                        .insert((topic, index), committed);
                }
                None => {
                    groups.entry(group).or_default().remove(&(topic, index));
                }
            }
        })?;
        if foreign > 0 {
            tracing::warn!(
                topic = topic.name,
                records = foreign,
                "skipped records that are not committed offsets"
            );
        }
        groups.retain(|_, offsets| !offsets.is_empty());
        Ok(Offsets { topic, groups })
    }

    pub(crate) fn commit(
        &mut self,
        group: &str,
        offsets: Vec<(Place, Committed)>,
    ) -> Result<(), ResponseError> {
        let record = |((topic, index), committed): &(Place, Committed)| {
            Ok((
                serde_json::to_vec(&(group, topic, index))?,
                Some(serde_json::to_vec(committed)?),
            ))
        };
        let records: serde_json::Result<Vec<_>> = offsets.iter().map(record).collect();
        self.append(&records.map_err(|_| ResponseError::UnknownServerError)?)?;
        self.groups
            .entry(group.to_owned())
            .or_default()
            .extend(offsets);
        Ok(())
    }

    pub(crate) fn of(&self, group: &str) -> Option<&BTreeMap<Place, Committed>> {
        self.groups.get(group)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &String> {
        self.groups.keys()
    }

    /// Removes the offsets that `is_gone` names, for ever.
    pub(crate) fn remove(
        &mut self,
        is_gone: impl Fn(&str, &Place, &Committed) -> bool,
    ) -> Result<(), ResponseError> {
        let mut tombstones = Vec::new();
        for (group, offsets) in &self.groups {
            for (place, _) in offsets
                .iter()
                .filter(|(place, committed)| is_gone(group, place, committed))
            {
                let key = serde_json::to_vec(&(group, &place.0, place.1));
                tombstones.push((key.map_err(|_| ResponseError::UnknownServerError)?, None));
            }
        }
        if tombstones.is_empty() {
            return Ok(());
        }
        self.append(&tombstones)?;
        self.groups.retain(|group, offsets| {
            offsets.retain(|place, committed| !is_gone(group, place, committed));
            !offsets.is_empty()
        });
        Ok(())
    }

    fn append(&self, records: &[(Vec<u8>, Option<Vec<u8>>)]) -> Result<(), ResponseError> {
        if records.is_empty() {
            return Ok(());
        }
        let partition = self
            .topic
            .partition(0)
            .ok_or(ResponseError::CoordinatorNotAvailable)?;
        partition.append_own(records, &self.topic.config())
    }
}

impl Committed {
    /// Refuses metadata that is longer than Kafka's limit.
    pub(crate) fn new(
        offset: i64,
        leader_epoch: i32,
        metadata: Option<String>,
    ) -> Result<Committed, ResponseError> {
        const METADATA_BYTES_MAX: usize = 4096;
        if metadata
            .as_ref()
            .is_some_and(|metadata| metadata.len() > METADATA_BYTES_MAX)
        {
            return Err(ResponseError::OffsetMetadataTooLarge);
        }
        Ok(Committed {
            offset,
            leader_epoch,
            metadata,
            committed_ms: now_ms(),
        })
    }
}
