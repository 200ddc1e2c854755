//! `Produce`: batches into the log. The answer says what is in the page cache.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::*;
use kafka_protocol::messages::*;

use super::Call;
use crate::log::batch::Header;
use crate::log::partition::Appended;
use crate::topics::Topic;
use crate::transactions::Producer;

pub(super) fn produce(call: &Call<'_>, request: ProduceRequest) -> ProduceResponse {
    let transactional_id = request.transactional_id.as_ref().map(|id| id.0.as_str());
    let acks_fit = (-1..=1).contains(&request.acks);
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for data in request.topic_data {
        let topic = call.node.topics.get(&data.name);
        let mut partitions = Vec::with_capacity(data.partition_data.len());
        for partition in data.partition_data {
            let result = match &topic {
                _ if !acks_fit => Err(ResponseError::InvalidRequiredAcks),
                None => Err(ResponseError::UnknownTopicOrPartition),
                Some(topic) => append(
                    call,
                    topic,
                    partition.index,
                    partition.records,
                    transactional_id,
                ),
            };
            let response = PartitionProduceResponse::default().with_index(partition.index);
            partitions.push(match result {
                Ok(appended) => response
                    .with_base_offset(appended.base_offset)
                    .with_log_append_time_ms(appended.append_time_ms)
                    .with_log_start_offset(appended.log_start),
                Err(error) => response
                    .with_error_code(error.code())
                    .with_base_offset(-1)
                    .with_log_append_time_ms(-1)
                    .with_log_start_offset(-1),
            });
        }
        responses.push(
            TopicProduceResponse::default()
                .with_name(data.name)
                .with_partition_responses(partitions),
        );
    }
    ProduceResponse::default().with_responses(responses)
}

fn append(
    call: &Call<'_>,
    topic: &Topic,
    index: i32,
    records: Option<Bytes>,
    transactional_id: Option<&str>,
) -> Result<Appended, ResponseError> {
    if topic.is_internal() {
        return Err(ResponseError::InvalidTopicException);
    }
    let partition = topic
        .partition(index)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let records = records.unwrap_or_default();
    let header = Header::parse(&records).ok_or(ResponseError::CorruptMessage)?;
    let append = || partition.append(&records, &topic.config());
    if !header.is_transactional() {
        return append();
    }
    let producer = Producer {
        id: header.producer_id,
        epoch: header.producer_epoch,
    };
    let id = transactional_id.ok_or(ResponseError::InvalidTxnState)?;
    call.node
        .transactions
        .append(id, producer, &(topic.name.clone(), index), append)
}

pub(super) fn first_error(response: &ProduceResponse) -> Option<ResponseError> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    partitions
        .filter_map(|partition| ResponseError::try_from_code(partition.error_code))
        .next()
}
