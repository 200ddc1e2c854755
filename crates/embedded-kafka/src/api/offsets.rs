//! Where the log begins, ends and was at a time: `ListOffsets`, `OffsetForLeaderEpoch`.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_response::*;
use kafka_protocol::messages::offset_for_leader_epoch_response::*;
use kafka_protocol::messages::*;

use super::Call;
use crate::log::Isolation;
use crate::storage::storage_error;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

pub(super) fn list_offsets(call: &Call<'_>, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let isolation = if request.isolation_level == 1 {
        Isolation::Committed
    } else {
        Isolation::Uncommitted
    };
    let mut topics = Vec::with_capacity(request.topics.len());
    for wanted in request.topics {
        let mut partitions = Vec::with_capacity(wanted.partitions.len());
        for want in &wanted.partitions {
            let result = find(
                call,
                &wanted.name,
                want.partition_index,
                want.timestamp,
                isolation,
            );
            let response =
                ListOffsetsPartitionResponse::default().with_partition_index(want.partition_index);
            partitions.push(match result {
                Ok(Some((offset, timestamp))) => response
                    .with_offset(offset)
                    .with_timestamp(timestamp)
                    .with_leader_epoch(if call.version >= 4 { 0 } else { -1 }),
                Ok(None) => response.with_offset(-1).with_timestamp(-1),
                Err(error) => response
                    .with_offset(-1)
                    .with_timestamp(-1)
                    .with_error_code(error.code()),
            });
        }
        topics.push(
            ListOffsetsTopicResponse::default()
                .with_name(wanted.name)
                .with_partitions(partitions),
        );
    }
    ListOffsetsResponse::default().with_topics(topics)
}

fn find(
    call: &Call<'_>,
    topic: &str,
    index: i32,
    timestamp: i64,
    isolation: Isolation,
) -> Result<Option<(i64, i64)>, ResponseError> {
    let partition = call
        .node
        .topics
        .partition(topic, index)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let offsets = partition.offsets();
    let found = match timestamp {
        EARLIEST => return Ok(Some((offsets.start, -1))),
        LATEST => return Ok(Some((offsets.end(isolation), -1))),
        MAX_TIMESTAMP => partition.find_max_time(),
        0.. => partition.find_time(timestamp),
        _ => return Err(ResponseError::UnsupportedVersion),
    };
    Ok(found
        .map_err(storage_error)?
        .filter(|&(offset, _)| offset < offsets.end(isolation)))
}

/// There is one epoch, 0: the leader never changes.
pub(super) fn offset_for_leader_epoch(
    call: &Call<'_>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for wanted in request.topics {
        let mut partitions = Vec::with_capacity(wanted.partitions.len());
        for want in &wanted.partitions {
            let end = EpochEndOffset::default().with_partition(want.partition);
            partitions.push(
                match call.node.topics.partition(&wanted.topic, want.partition) {
                    None => end.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
                    Some(_) if want.current_leader_epoch > 0 => {
                        end.with_error_code(ResponseError::UnknownLeaderEpoch.code())
                    }
                    Some(partition) if want.leader_epoch == 0 => end
                        .with_leader_epoch(0)
                        .with_end_offset(partition.offsets().next),
                    Some(_) => end,
                },
            );
        }
        topics.push(
            OffsetForLeaderTopicResult::default()
                .with_topic(wanted.topic)
                .with_partitions(partitions),
        );
    }
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}
