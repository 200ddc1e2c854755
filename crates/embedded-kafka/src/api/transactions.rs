//! `InitProducerId`, `AddPartitionsToTxn`, `AddOffsetsToTxn`, `EndTxn`.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::*;
use kafka_protocol::messages::*;

use super::{Call, code};
use crate::groups::Place;
use crate::transactions::Producer;

/// A fenced producer learns so by a code that came with version `since`; before, by the older one.
pub(super) fn named_for(error: ResponseError, version: i16, since: i16) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if version < since => ResponseError::InvalidProducerEpoch,
        other => other,
    }
}

pub(super) fn init_producer_id(
    call: &Call<'_>,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let is = Producer {
        id: *request.producer_id,
        epoch: request.producer_epoch,
    };
    let is = (call.version >= 3 && is.id >= 0).then_some(is);
    let result = match &request.transactional_id {
        Some(id) => call
            .node
            .transactions
            .init(id, request.transaction_timeout_ms, is),
        None => call
            .node
            .producer_ids
            .next()
            .map(|id| Producer { id, epoch: 0 }),
    };
    match result {
        Ok(producer) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch),
        Err(error) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
            .with_error_code(named_for(error, call.version, 4).code()),
    }
}

pub(super) fn add_partitions_to_txn(
    call: &Call<'_>,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let producer = Producer {
        id: *request.v3_and_below_producer_id,
        epoch: request.v3_and_below_producer_epoch,
    };
    let topics = request.v3_and_below_topics;
    let places = || {
        topics.iter().flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|index| (topic.name.to_string(), *index))
        })
    };
    let is_there = |(topic, index): &Place| call.node.topics.partition(topic, *index).is_some();
    let all_there = places().all(|place| is_there(&place));
    let result = match all_there {
        true => call.node.transactions.add_partitions(
            &request.v3_and_below_transactional_id,
            producer,
            places(),
        ),
        // All or nothing: the others learn that they were not tried.
        false => Err(ResponseError::OperationNotAttempted),
    };
    let partition = |topic: &str, index: i32| {
        let error = match &result {
            Err(_) if !is_there(&(topic.to_owned(), index)) => {
                ResponseError::UnknownTopicOrPartition.code()
            }
            Err(error) => named_for(*error, call.version, 2).code(),
            Ok(()) => 0,
        };
        AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(index)
            .with_partition_error_code(error)
    };
    let results = topics.iter().map(|topic| {
        AddPartitionsToTxnTopicResult::default()
            .with_results_by_partition(
                topic
                    .partitions
                    .iter()
                    .map(|index| partition(&topic.name, *index))
                    .collect(),
            )
            .with_name(topic.name.clone())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}

pub(super) fn add_offsets_to_txn(
    call: &Call<'_>,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let producer = Producer {
        id: *request.producer_id,
        epoch: request.producer_epoch,
    };
    let result = call
        .node
        .transactions
        .add_offsets(&request.transactional_id, producer);
    AddOffsetsToTxnResponse::default().with_error_code(code(
        &result.map_err(|error| named_for(error, call.version, 2)),
    ))
}

pub(super) fn end_txn(call: &Call<'_>, request: EndTxnRequest) -> EndTxnResponse {
    let producer = Producer {
        id: *request.producer_id,
        epoch: request.producer_epoch,
    };
    let result = call
        .node
        .transactions
        .end(&request.transactional_id, producer, request.committed);
    EndTxnResponse::default().with_error_code(code(
        &result.map_err(|error| named_for(error, call.version, 2)),
    ))
}
