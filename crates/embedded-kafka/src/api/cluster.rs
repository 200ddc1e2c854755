//! Who is there: `ApiVersions`, `Metadata`, `FindCoordinator`, `DescribeCluster`.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::*;
use kafka_protocol::messages::*;

use super::shape::APIS;
use super::{Call, text, topic_name};
use crate::node::NODE_ID;
use crate::topics::Topic;

pub(super) fn api_versions(error: i16) -> ApiVersionsResponse {
    let entry = |api: &super::Api| {
        // Kafka still names version 0 of Produce, which it does not take any more: clients derive from it that the
        // server knows compression.
        let min = if api.key == ApiKey::Produce {
            0
        } else {
            api.min
        };
        ApiVersion::default()
            .with_api_key(api.key as i16)
            .with_min_version(min)
            .with_max_version(api.max)
    };
    ApiVersionsResponse::default()
        .with_error_code(error)
        .with_api_keys(APIS.iter().map(entry).collect())
}

pub(super) fn metadata(call: &Call<'_>, request: MetadataRequest) -> MetadataResponse {
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(NODE_ID))
        .with_host(call.host())
        .with_port(call.port());
    // In version 0 an empty list asks for all topics, later null does.
    let wanted = request
        .topics
        .filter(|topics| call.version > 0 || !topics.is_empty());
    let may_create = request.allow_auto_topic_creation && call.node.config.auto_create_topics;
    let topics = match wanted {
        None => call.node.topics.all().iter().map(describe).collect(),
        Some(wanted) => wanted
            .into_iter()
            .map(|topic| metadata_of(call, topic, may_create))
            .collect(),
    };
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(text(&call.node.cluster_id)))
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(topics)
}

fn metadata_of(
    call: &Call<'_>,
    wanted: MetadataRequestTopic,
    may_create: bool,
) -> MetadataResponseTopic {
    let topics = &call.node.topics;
    let unknown = MetadataResponseTopic::default()
        .with_name(wanted.name.clone())
        .with_topic_id(wanted.topic_id);
    let Some(name) = wanted.name else {
        return match topics.by_id(wanted.topic_id) {
            Some(topic) => describe(&topic),
            None => unknown.with_error_code(ResponseError::UnknownTopicId.code()),
        };
    };
    if let Some(topic) = topics.get(&name) {
        return describe(&topic);
    }
    if !may_create {
        return unknown.with_error_code(ResponseError::UnknownTopicOrPartition.code());
    }
    match topics.create(
        &name,
        call.node.config.default_partitions,
        BTreeMap::new(),
        false,
    ) {
        Ok(Some(topic)) => describe(&topic),
        // Another connection was faster.
        Ok(None) | Err((ResponseError::TopicAlreadyExists, _)) => {
            unknown.with_error_code(ResponseError::LeaderNotAvailable.code())
        }
        Err((error, _)) => unknown.with_error_code(error.code()),
    }
}

fn describe(topic: &Arc<Topic>) -> MetadataResponseTopic {
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(NODE_ID))
            .with_leader_epoch(0)
            .with_replica_nodes(vec![BrokerId(NODE_ID)])
            .with_isr_nodes(vec![BrokerId(NODE_ID)])
    };
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(&topic.name)))
        .with_topic_id(topic.id)
        .with_is_internal(topic.is_internal())
        .with_partitions((0..topic.partition_count()).map(partition).collect())
}

pub(super) fn find_coordinator(
    call: &Call<'_>,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let response = FindCoordinatorResponse::default();
    // 0 asks for a group's coordinator, 1 for a transaction's; what came later is not here.
    let is_known = (0..=1).contains(&request.key_type);
    let error = if is_known {
        0
    } else {
        ResponseError::InvalidRequest.code()
    };
    if call.version < 4 {
        return response
            .with_error_code(error)
            .with_node_id(BrokerId(NODE_ID))
            .with_host(call.host())
            .with_port(call.port());
    }
    let coordinator = |key| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(error)
            .with_node_id(BrokerId(NODE_ID))
            .with_host(call.host())
            .with_port(call.port())
    };
    response.with_coordinators(
        request
            .coordinator_keys
            .into_iter()
            .map(coordinator)
            .collect(),
    )
}

pub(super) fn describe_cluster(
    call: &Call<'_>,
    _: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let broker = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(NODE_ID))
        .with_host(call.host())
        .with_port(call.port());
    DescribeClusterResponse::default()
        .with_cluster_id(text(&call.node.cluster_id))
        .with_controller_id(BrokerId(NODE_ID))
        .with_brokers(vec![broker])
}
