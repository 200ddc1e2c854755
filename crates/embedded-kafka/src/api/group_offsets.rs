//! Committed offsets of groups: `OffsetCommit`, `OffsetFetch`, `TxnOffsetCommit`.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::*;
use kafka_protocol::messages::offset_fetch_response::*;
use kafka_protocol::messages::txn_offset_commit_response::*;
use kafka_protocol::messages::*;

use super::transactions::named_for;
use super::{Call, code, string, text, topic_name};
use crate::groups::{Committed, Place};
use crate::transactions::Producer;

pub(super) fn offset_commit(call: &Call<'_>, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let groups = &call.node.groups;
    let generation = request.generation_id_or_member_epoch;
    let group = groups.check_commit(&request.group_id, &request.member_id, generation);
    let mut commit = Commit::new(call, group);
    for topic in request.topics {
        for it in topic.partitions {
            let metadata = string(&it.committed_metadata);
            let committed =
                Committed::new(it.committed_offset, it.committed_leader_epoch, metadata);
            commit.add(&topic.name, it.partition_index, committed);
        }
    }
    let topic = |(name, partitions): (TopicName, Vec<Outcome>)| {
        let partition = |(index, error): Outcome| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(error)
        };
        let partitions = partitions.into_iter().map(partition).collect();
        OffsetCommitResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions)
    };
    let outcomes = commit.store(|offsets| groups.commit(&request.group_id, offsets));
    OffsetCommitResponse::default().with_topics(outcomes.into_iter().map(topic).collect())
}

pub(super) fn txn_offset_commit(
    call: &Call<'_>,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let (group_id, member_id) = (&request.group_id, &request.member_id);
    // Since version 3 a consumer says who it is; before, and outside of a group, it says nothing.
    let group = match request.generation_id >= 0 || !member_id.is_empty() {
        true => call
            .node
            .groups
            .check_commit(group_id, member_id, request.generation_id),
        false => Ok(()),
    };
    let mut commit = Commit::new(call, group);
    for topic in request.topics {
        for it in topic.partitions {
            let metadata = string(&it.committed_metadata);
            let committed =
                Committed::new(it.committed_offset, it.committed_leader_epoch, metadata);
            commit.add(&topic.name, it.partition_index, committed);
        }
    }
    let topic = |(name, partitions): (TopicName, Vec<Outcome>)| {
        let partition = |(index, error): Outcome| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(error)
        };
        let partitions = partitions.into_iter().map(partition).collect();
        TxnOffsetCommitResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions)
    };
    let producer = Producer {
        id: *request.producer_id,
        epoch: request.producer_epoch,
    };
    let outcomes = commit.store(|offsets| {
        let stored = call.node.transactions.commit_offsets(
            &request.transactional_id,
            producer,
            group_id,
            offsets,
        );
        stored.map_err(|error| named_for(error, call.version, 3))
    });
    TxnOffsetCommitResponse::default().with_topics(outcomes.into_iter().map(topic).collect())
}

/// A partition and its error code.
type Outcome = (i32, i16);

/// Offsets on their way: those that may be committed, and what became of each.
struct Commit<'a> {
    call: &'a Call<'a>,
    group: Result<(), ResponseError>,
    accepted: Vec<(Place, Committed)>,
    outcomes: Vec<(TopicName, Vec<Outcome>)>,
}

impl<'a> Commit<'a> {
    fn new(call: &'a Call<'a>, group: Result<(), ResponseError>) -> Commit<'a> {
        Commit {
            call,
            group,
            accepted: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    fn add(&mut self, topic: &TopicName, index: i32, committed: Result<Committed, ResponseError>) {
        let is_there = self.call.node.topics.partition(topic, index).is_some();
        let place = is_there
            .then(|| (topic.to_string(), index))
            .ok_or(ResponseError::UnknownTopicOrPartition);
        let result = self
            .group
            .and(place)
            .and_then(|place| Ok((place, committed?)));
        let outcome = (index, code(&result));
        self.accepted.extend(result);
        match self.outcomes.last_mut().filter(|(last, _)| last == topic) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => self.outcomes.push((topic.clone(), vec![outcome])),
        }
    }

    /// Commits all that may be, in one step; if that fails it fails for all of them.
    fn store(
        self,
        store: impl FnOnce(Vec<(Place, Committed)>) -> Result<(), ResponseError>,
    ) -> Vec<(TopicName, Vec<Outcome>)> {
        let stored = if self.accepted.is_empty() {
            Ok(())
        } else {
            store(self.accepted)
        };
        let mut outcomes = self.outcomes;
        for (_, error) in outcomes
            .iter_mut()
            .flat_map(|(_, outcomes)| outcomes)
            .filter(|(_, error)| *error == 0)
        {
            *error = code(&stored);
        }
        outcomes
    }
}

pub(super) fn offset_fetch(call: &Call<'_>, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if call.version < 8 {
        let wanted = request.topics.map(|topics| {
            topics
                .into_iter()
                .map(|t| (t.name, t.partition_indexes))
                .collect()
        });
        let topic = |(name, offsets): (TopicName, Vec<Found>)| {
            let partition = |found: Found| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(found.index)
                    .with_committed_offset(found.offset)
                    .with_committed_leader_epoch(if call.version >= 5 {
                        found.leader_epoch
                    } else {
                        -1
                    })
                    .with_metadata(Some(text(found.metadata)))
                    .with_error_code(found.error)
            };
            OffsetFetchResponseTopic::default()
                .with_name(name)
                .with_partitions(offsets.into_iter().map(partition).collect())
        };
        let found = look_up(call, &request.group_id, wanted, request.require_stable);
        return OffsetFetchResponse::default().with_topics(found.into_iter().map(topic).collect());
    }
    let mut groups = Vec::new();
    for group in request.groups {
        let wanted = group.topics.map(|topics| {
            topics
                .into_iter()
                .map(|t| (t.name, t.partition_indexes))
                .collect()
        });
        let topic = |(name, offsets): (TopicName, Vec<Found>)| {
            let partition = |found: Found| {
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(found.index)
                    .with_committed_offset(found.offset)
                    .with_committed_leader_epoch(found.leader_epoch)
                    .with_metadata(Some(text(found.metadata)))
                    .with_error_code(found.error)
            };
            OffsetFetchResponseTopics::default()
                .with_name(name)
                .with_partitions(offsets.into_iter().map(partition).collect())
        };
        let found = look_up(call, &group.group_id, wanted, request.require_stable);
        groups.push(
            OffsetFetchResponseGroup::default()
                .with_group_id(group.group_id)
                .with_topics(found.into_iter().map(topic).collect()),
        );
    }
    OffsetFetchResponse::default().with_groups(groups)
}

struct Found {
    index: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: String,
    error: i16,
}

/// The offsets wanted, or all there are; -1 where nothing was committed.
fn look_up(
    call: &Call<'_>,
    group: &str,
    wanted: Option<Vec<(TopicName, Vec<i32>)>>,
    require_stable: bool,
) -> Vec<(TopicName, Vec<Found>)> {
    let committed = call.node.groups.committed(group);
    let wanted = wanted.unwrap_or_else(|| {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, index) in committed.keys() {
            topics.entry(topic).or_default().push(*index);
        }
        topics
            .into_iter()
            .map(|(name, indexes)| (topic_name(name), indexes))
            .collect()
    });
    let find = |topic: &TopicName, index: i32| {
        let place = (topic.to_string(), index);
        if require_stable && call.node.transactions.has_pending(group, &place) {
            let error = ResponseError::UnstableOffsetCommit.code();
            return Found {
                index,
                offset: -1,
                leader_epoch: -1,
                metadata: String::new(),
                error,
            };
        }
        match committed.get(&place) {
            None => Found {
                index,
                offset: -1,
                leader_epoch: -1,
                metadata: String::new(),
                error: 0,
            },
            Some(found) => Found {
                index,
                offset: found.offset,
                leader_epoch: found.leader_epoch,
                metadata: found.metadata.clone().unwrap_or_default(),
                error: 0,
            },
        }
    };
    let all = |(name, indexes): (TopicName, Vec<i32>)| {
        let found = indexes
            .into_iter()
            .map(|index| find(&name, index))
            .collect();
        (name, found)
    };
    wanted.into_iter().map(all).collect()
}
