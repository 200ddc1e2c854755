//! `CreateTopics`, `DeleteTopics`, `CreatePartitions`, `DeleteRecords`.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::*;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::*;
use kafka_protocol::messages::delete_records_response::*;
use kafka_protocol::messages::delete_topics_response::*;
use kafka_protocol::messages::*;

use super::{Call, code, text, topic_name};
use crate::log::config::{KEYS, Key};
use crate::node::NODE_ID;
use crate::topics::Refusal;

pub(super) fn create_topics(call: &Call<'_>, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let create = |topic: CreatableTopic| {
        let response = CreatableTopicResult::default().with_name(topic.name.clone());
        match create(call, &topic, request.validate_only) {
            Ok(result) => result.with_name(topic.name),
            Err((error, why)) => response
                .with_error_code(error.code())
                .with_error_message(Some(text(why)))
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        }
    };
    CreateTopicsResponse::default().with_topics(request.topics.into_iter().map(create).collect())
}

fn create(
    call: &Call<'_>,
    topic: &CreatableTopic,
    validate_only: bool,
) -> Result<CreatableTopicResult, Refusal> {
    let partitions = match (topic.assignments.len(), topic.num_partitions) {
        (0, -1) => call.node.config.default_partitions,
        (0, count) => count,
        (assigned, -1) => {
            let mut indexes: Vec<i32> = topic
                .assignments
                .iter()
                .map(|assigned| assigned.partition_index)
                .collect();
            indexes.sort_unstable();
            let fits = topic
                .assignments
                .iter()
                .all(|assigned| assigned.broker_ids == [BrokerId(NODE_ID)]);
            if !fits || !indexes.iter().copied().eq(0..assigned as i32) {
                let why = format!(
                    "partitions 0 to {} can be assigned to node {NODE_ID} only",
                    assigned - 1
                );
                return Err((ResponseError::InvalidReplicaAssignment, why));
            }
            assigned as i32
        }
        _ => {
            return Err((
                ResponseError::InvalidRequest,
                "both a partition count and assignments are given".into(),
            ));
        }
    };
    if topic.assignments.is_empty() && ![-1, 1].contains(&topic.replication_factor) {
        let why = format!(
            "replication factor {} is more than the 1 node there is",
            topic.replication_factor
        );
        return Err((ResponseError::InvalidReplicationFactor, why));
    }
    let mut settings = BTreeMap::new();
    for config in &topic.configs {
        let why = || {
            (
                ResponseError::InvalidConfig,
                format!("{} has no value", config.name),
            )
        };
        settings.insert(
            config.name.to_string(),
            config.value.as_ref().ok_or_else(why)?.to_string(),
        );
    }
    let created = call
        .node
        .topics
        .create(&topic.name, partitions, settings, validate_only)?;
    let result = CreatableTopicResult::default()
        .with_num_partitions(partitions)
        .with_replication_factor(1);
    let Some(created) = created else {
        return Ok(result.with_configs(Some(Vec::new())));
    };
    let config = created.config();
    let entry = |key: &Key| {
        let is_set = config.explicit.contains_key(key.name);
        CreatableTopicConfigs::default()
            .with_name(text(key.name))
            .with_value(Some(text(config.value(key))))
            .with_config_source(super::configs::source(is_set))
    };
    Ok(result
        .with_topic_id(created.id)
        .with_configs(Some(KEYS.iter().map(entry).collect())))
}

pub(super) fn delete_topics(call: &Call<'_>, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let topics = &call.node.topics;
    let mut responses = Vec::new();
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| (Some(name), Default::default()));
    for (name, id) in by_name.chain(
        request
            .topics
            .into_iter()
            .map(|topic| (topic.name, topic.topic_id)),
    ) {
        let response = DeletableTopicResult::default()
            .with_name(name.clone())
            .with_topic_id(id);
        let topic = match &name {
            Some(name) => topics
                .get(name)
                .ok_or(ResponseError::UnknownTopicOrPartition),
            None => topics.by_id(id).ok_or(ResponseError::UnknownTopicId),
        };
        let result = topic.and_then(|topic| match topic.is_internal() {
            true => Err(ResponseError::InvalidTopicException),
            false => topics
                .delete(&topic.name)
                .and_then(|topic| call.node.groups.forget_topic(&topic.name).map(|()| topic)),
        });
        responses.push(match result {
            Ok(topic) => response
                .with_name(Some(topic_name(&topic.name)))
                .with_topic_id(topic.id),
            Err(error) => response
                .with_error_code(error.code())
                .with_error_message(Some(text(error.to_string()))),
        });
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

pub(super) fn create_partitions(
    call: &Call<'_>,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let grow = |wanted: CreatePartitionsTopic| {
        let response = CreatePartitionsTopicResult::default().with_name(wanted.name.clone());
        let unknown = || {
            (
                ResponseError::UnknownTopicOrPartition,
                format!("there is no topic {}", &*wanted.name),
            )
        };
        let topic = call
            .node
            .topics
            .get(&wanted.name)
            .filter(|topic| !topic.is_internal())
            .ok_or_else(unknown);
        match topic.and_then(|topic| {
            call.node
                .topics
                .grow(&topic, wanted.count, request.validate_only)
        }) {
            Ok(()) => response,
            Err((error, why)) => response
                .with_error_code(error.code())
                .with_error_message(Some(text(why))),
        }
    };
    CreatePartitionsResponse::default().with_results(request.topics.into_iter().map(grow).collect())
}

pub(super) fn delete_records(
    call: &Call<'_>,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut topics = Vec::new();
    for wanted in request.topics {
        let mut partitions = Vec::new();
        for want in &wanted.partitions {
            let topic = call
                .node
                .topics
                .get(&wanted.name)
                .filter(|topic| !topic.is_internal());
            let partition = topic.and_then(|topic| topic.partition(want.partition_index));
            let result = partition
                .ok_or(ResponseError::UnknownTopicOrPartition)
                .and_then(|partition| partition.delete_records(want.offset));
            partitions.push(
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(want.partition_index)
                    .with_error_code(code(&result))
                    .with_low_watermark(result.unwrap_or(-1)),
            );
        }
        topics.push(
            DeleteRecordsTopicResult::default()
                .with_name(wanted.name)
                .with_partitions(partitions),
        );
    }
    DeleteRecordsResponse::default().with_topics(topics)
}
