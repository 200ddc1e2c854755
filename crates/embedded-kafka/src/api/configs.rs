//! `DescribeConfigs`, `AlterConfigs`, `IncrementalAlterConfigs`: of topics; the node's settings can only be read.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::*;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use super::{Call, text};
use crate::log::LogConfig;
use crate::log::config::{KEYS, Key, Kind};
use crate::node::NODE_ID;
use crate::storage::storage_error;
use crate::topics::{Refusal, Topic};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a topic's value comes from: set for the topic, or the default.
pub(super) fn source(is_set: bool) -> i8 {
    const DYNAMIC_TOPIC: i8 = 1;
    const DEFAULT: i8 = 5;
    if is_set { DYNAMIC_TOPIC } else { DEFAULT }
}

pub(super) fn describe_configs(
    call: &Call<'_>,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let describe = |resource: DescribeConfigsResource| {
        let wants = |name: &str| {
            resource
                .configuration_keys
                .as_ref()
                .is_none_or(|keys| keys.iter().any(|key| key.as_str() == name))
        };
        let response = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        let configs = match resource.resource_type {
            TOPIC => topic(call, &resource.resource_name).map(|topic| topic_configs(&topic)),
            BROKER if is_this_node(&resource.resource_name) => Ok(node_configs(call)),
            _ => Err(no_such_resource(
                resource.resource_type,
                &resource.resource_name,
            )),
        };
        match configs {
            Ok(configs) => response.with_configs(
                configs
                    .into_iter()
                    .filter(|config| wants(&config.name))
                    .collect(),
            ),
            Err((error, why)) => response
                .with_error_code(error.code())
                .with_error_message(Some(text(why))),
        }
    };
    DescribeConfigsResponse::default()
        .with_results(request.resources.into_iter().map(describe).collect())
}

fn topic_configs(topic: &Topic) -> Vec<DescribeConfigsResourceResult> {
    let config = topic.config();
    let entry = |key: &Key| {
        let (value, source) = (
            text(config.value(key)),
            source(config.explicit.contains_key(key.name)),
        );
        let synonym = DescribeConfigsSynonym::default()
            .with_name(text(key.name))
            .with_value(Some(value.clone()));
        DescribeConfigsResourceResult::default()
            .with_name(text(key.name))
            .with_value(Some(value))
            .with_config_source(source)
            .with_config_type(key.kind.code())
            .with_synonyms(vec![synonym.with_source(source)])
    };
    KEYS.iter().map(entry).collect()
}

/// What a client may want to know of the node, under Kafka's names.
fn node_configs(call: &Call<'_>) -> Vec<DescribeConfigsResourceResult> {
    const STATIC_BROKER: i8 = 4;
    let config = &call.node.config;
    let entry = |(name, value, kind): (&str, String, Kind)| {
        DescribeConfigsResourceResult::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
            .with_read_only(true)
            .with_config_source(STATIC_BROKER)
            .with_config_type(kind.code())
    };
    let all = [
        (
            "auto.create.topics.enable",
            config.auto_create_topics.to_string(),
            Kind::Boolean,
        ),
        ("broker.id", NODE_ID.to_string(), Kind::Int(0)),
        (
            "connections.max.idle.ms",
            config.idle_timeout.as_millis().to_string(),
            Kind::Long(0),
        ),
        ("default.replication.factor", "1".into(), Kind::Int(1)),
        (
            "max.connections",
            config.connections_max.to_string(),
            Kind::Int(0),
        ),
        (
            "num.partitions",
            config.default_partitions.to_string(),
            Kind::Int(1),
        ),
        (
            "socket.request.max.bytes",
            config.request_bytes_max.to_string(),
            Kind::Int(0),
        ),
    ];
    all.into_iter().map(entry).collect()
}

/// Replaces all settings of a topic.
pub(super) fn alter_configs(call: &Call<'_>, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::new();
    for resource in request.resources {
        let changes = resource
            .configs
            .into_iter()
            .filter_map(|config| Some((config.name, SET, Some(config.value?))));
        let alter = alter(
            call,
            resource.resource_type,
            &resource.resource_name,
            true,
            changes,
            request.validate_only,
        );
        let (error, why) = outcome(alter);
        responses.push(
            AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
                .with_error_code(error)
                .with_error_message(why),
        );
    }
    AlterConfigsResponse::default().with_responses(responses)
}

/// Changes some settings of a topic.
pub(super) fn incremental_alter_configs(
    call: &Call<'_>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::new();
    for resource in request.resources {
        let changes = resource
            .configs
            .into_iter()
            .map(|config| (config.name, config.config_operation, config.value));
        let alter = alter(
            call,
            resource.resource_type,
            &resource.resource_name,
            false,
            changes,
            request.validate_only,
        );
        let (error, why) = outcome(alter);
        responses.push(
            IncrementalResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
                .with_error_code(error)
                .with_error_message(why),
        );
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn alter(
    call: &Call<'_>,
    resource_type: i8,
    resource_name: &str,
    replaces: bool,
    changes: impl Iterator<Item = (StrBytes, i8, Option<StrBytes>)>,
    validate_only: bool,
) -> Result<(), Refusal> {
    if resource_type == BROKER {
        return Err((
            ResponseError::InvalidRequest,
            "the node's settings are fixed when it starts".into(),
        ));
    }
    if resource_type != TOPIC {
        return Err(no_such_resource(resource_type, resource_name));
    }
    let topic = topic(call, resource_name)?;
    let current = topic.config();
    let mut settings = if replaces {
        BTreeMap::new()
    } else {
        current.explicit.clone()
    };
    for (name, operation, value) in changes {
        apply(&mut settings, &current, &name, operation, value.as_deref())?;
    }
    let config = LogConfig::new(settings).map_err(|why| (ResponseError::InvalidConfig, why))?;
    if validate_only {
        return Ok(());
    }
    topic
        .set_config(config)
        .map_err(|error| (storage_error(error), "storage failed".into()))
}

fn apply(
    settings: &mut BTreeMap<String, String>,
    current: &LogConfig,
    name: &str,
    operation: i8,
    value: Option<&str>,
) -> Result<(), Refusal> {
    let refuse = |why: &str| Err((ResponseError::InvalidConfig, format!("{name} {why}")));
    let Some(key) = KEYS.iter().find(|key| key.name == name) else {
        return refuse("is no topic setting");
    };
    match (operation, value) {
        (SET, Some(value)) => {
            settings.insert(name.to_owned(), value.to_owned());
        }
        (DELETE, _) => {
            settings.remove(name);
        }
        (APPEND | SUBTRACT, Some(value)) if matches!(key.kind, Kind::List(_)) => {
            let now = settings
                .get(name)
                .map_or(current.value(key), String::as_str);
            let mut parts: Vec<&str> = now
                .split(',')
                .map(str::trim)
                .filter(|part| *part != value)
                .collect();
            if operation == APPEND {
                parts.push(value);
            }
            settings.insert(name.to_owned(), parts.join(","));
        }
        (APPEND | SUBTRACT, Some(_)) => return refuse("is not a list"),
        _ => return refuse("needs a value and a known operation"),
    }
    Ok(())
}

fn topic(call: &Call<'_>, name: &str) -> Result<std::sync::Arc<Topic>, Refusal> {
    let unknown = || {
        (
            ResponseError::UnknownTopicOrPartition,
            format!("there is no topic {name}"),
        )
    };
    call.node.topics.get(name).ok_or_else(unknown)
}

fn is_this_node(name: &str) -> bool {
    name.is_empty() || name == NODE_ID.to_string()
}

fn no_such_resource(resource_type: i8, name: &str) -> Refusal {
    (
        ResponseError::InvalidRequest,
        format!("no settings for resource {name:?} of type {resource_type}"),
    )
}

fn outcome(result: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    match result {
        Ok(()) => (0, None),
        Err((error, why)) => (error.code(), Some(text(why))),
    }
}
