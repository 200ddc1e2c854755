//! Committed offsets of groups: `OffsetCommit`, `OffsetFetch`, `TxnOffsetCommit`.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::*;
use kafka_protocol::messages::offset_fetch_response::*;
use kafka_protocol::messages::txn_offset_commit_response::*;
use kafka_protocol::messages::*;

use super::{Call, code, string, text, topic_name};
use crate::groups::{Committed, Place};
use crate::transactions::Producer;

pub(super) fn offset_commit(call: &Call<'_>, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let groups = &call.node.groups;
    let generation = request.generation_id_or_member_epoch;
    let group = groups.check_commit(&request.group_id, &request.member_id, generation);
    let mut accepted = Vec::new();
    let mut checked = Vec::new();
    for topic in request.topics {
        let mut partitions = Vec::new();
        for partition in topic.partitions {
            let metadata = string(&partition.committed_metadata);
            let committed = Committed::new(
                partition.committed_offset,
                partition.committed_leader_epoch,
                metadata,
            );
            let result = check(
                call,
                &group,
                &topic.name,
                partition.partition_index,
                committed,
            );
            partitions.push((partition.partition_index, accept(&mut accepted, result)));
        }
        checked.push((topic.name, partitions));
    }
    let stored = if accepted.is_empty() {
        Ok(())
    } else {
        groups.commit(&request.group_id, accepted)
    };
    let respond = |(name, partitions): (TopicName, Vec<(i32, Result<(), ResponseError>)>)| {
        let partition = |(index, result): (i32, Result<(), ResponseError>)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code(&result.and(stored)))
        };
        OffsetCommitResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(partition).collect())
    };
    OffsetCommitResponse::default().with_topics(checked.into_iter().map(respond).collect())
}

pub(super) fn txn_offset_commit(
    call: &Call<'_>,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let producer = Producer {
        id: *request.producer_id,
        epoch: request.producer_epoch,
    };
    // Since version 3 a consumer says who it is; before, and outside of a group, it says nothing.
    let is_member = request.generation_id >= 0 || !request.member_id.is_empty();
    let group = match is_member {
        true => call.node.groups.check_commit(
            &request.group_id,
            &request.member_id,
            request.generation_id,
        ),
        false => Ok(()),
    };
    let mut accepted = Vec::new();
    let mut checked = Vec::new();
    for topic in request.topics {
        let mut partitions = Vec::new();
        for partition in topic.partitions {
            let metadata = string(&partition.committed_metadata);
            let committed = Committed::new(
                partition.committed_offset,
                partition.committed_leader_epoch,
                metadata,
            );
            let result = check(
                call,
                &group,
                &topic.name,
                partition.partition_index,
                committed,
            );
            partitions.push((partition.partition_index, accept(&mut accepted, result)));
        }
        checked.push((topic.name, partitions));
    }
    let stored = match accepted.is_empty() {
        true => Ok(()),
        false => {
            let transactions = &call.node.transactions;
            transactions.commit_offsets(
                &request.transactional_id,
                producer,
                &request.group_id,
                accepted,
            )
        }
    };
    let stored = stored.map_err(|error| super::transactions::named_for(error, call.version, 3));
    let respond = |(name, partitions): (TopicName, Vec<(i32, Result<(), ResponseError>)>)| {
        let partition = |(index, result): (i32, Result<(), ResponseError>)| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code(&result.and(stored)))
        };
        TxnOffsetCommitResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(partition).collect())
    };
    TxnOffsetCommitResponse::default().with_topics(checked.into_iter().map(respond).collect())
}

fn check(
    call: &Call<'_>,
    group: &Result<(), ResponseError>,
    topic: &str,
    index: i32,
    committed: Result<Committed, ResponseError>,
) -> Result<(Place, Committed), ResponseError> {
    (*group)?;
    call.node
        .topics
        .partition(topic, index)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    Ok(((topic.to_owned(), index), committed?))
}

fn accept<T>(accepted: &mut Vec<T>, result: Result<T, ResponseError>) -> Result<(), ResponseError> {
    result.map(|offset| accepted.push(offset))
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
