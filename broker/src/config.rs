//! The broker's settings, as written and as checked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Parser};
use mqtt::session::Limits;
use service::{BadSetting, Settings};

use crate::acl::Acl;
use crate::auth::{Authentication, JwtConfig};
use crate::rules::{Lists, Partitioner, RuleConfig, Rules};

/// An MQTT broker that keeps everything in Kafka.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "broker",
    version,
    after_help = "broker check-config checks all this and explains the topic rules; \
                  broker hash-password writes a line of the users file"
)]
pub struct Config {
    /// Kafka: host:port, comma-separated
    #[arg(
        long,
        env = "KAFKA_BOOTSTRAP_SERVERS",
        default_value = "localhost:9092"
    )]
    pub kafka_bootstrap_servers: String,
    /// Address to listen on
    #[arg(long, env = "LISTEN_ADDRESS", default_value = "0.0.0.0")]
    pub listen_address: IpAddr,
    /// MQTT over TCP; 0 picks a free port
    #[arg(long, env = "MQTT_PORT", default_value_t = 1883)]
    pub mqtt_port: u16,
    /// MQTT over WebSocket, path /mqtt; 0 picks a free port
    #[arg(long, env = "MQTT_WS_PORT", default_value_t = 1893)]
    pub mqtt_ws_port: u16,
    /// /metrics, /live and /ready; 0 picks a free port
    #[arg(long, env = "MONITORING_PORT", default_value_t = 1884)]
    pub monitoring_port: u16,

    /// Kafka topic of the MQTT topics that no rule takes
    #[arg(
        long,
        env = "KAFKA_MESSAGES_DEFAULT_TOPIC",
        default_value = "mqtt_messages"
    )]
    pub kafka_messages_default_topic: String,
    /// Kafka topic (compacted) of retained messages
    #[arg(
        long,
        env = "RETAINED_MESSAGES_TOPIC",
        default_value = "mqtt_retained_messages"
    )]
    pub retained_messages_topic: String,
    /// Kafka topic (compacted) of the sessions of clients that are away
    #[arg(long, env = "SESSION_TOPIC", default_value = "mqtt_sessions")]
    pub session_topic: String,
    /// Name of this node, which no other node has; the same after a restart. Left out: host name and MQTT port
    #[arg(long, env = "NODE_NAME")]
    pub node_name: Option<String>,
    /// Milliseconds after which a node that is not heard of is dead, and others take over what it had
    #[arg(long, env = "NODE_LAPSE_MS", default_value_t = 5000,
          value_parser = clap::value_parser!(u32).range(500..=600_000))]
    pub node_lapse_ms: u32,
    /// Store QoS 2 messages and their packet identifiers in Kafka transactions; without, QoS 2 is at least once across a
    /// crash
    #[arg(long, env = "KAFKA_TRANSACTIONS", action = ArgAction::Set, default_value_t = true)]
    pub kafka_transactions: bool,
    /// Rules as a list of kafkaTopic:mqttFilter; `[[topic]]` in the config file says more and goes first
    #[arg(long, env = "KAFKA_MESSAGES_TOPICS_PATTERNS", default_value = "")]
    pub kafka_messages_topics_patterns: String,
    /// Rules as a list of kafkaTopic:prefix/; the key is what follows the prefix
    #[arg(long, env = "KAFKA_MESSAGES_TOPICS_PREFIXES", default_value = "")]
    pub kafka_messages_topics_prefixes: String,
    /// Keys as a list of mqttFilter:key, with $1 in the key for the first + of the filter, as in foo/+/bar/+:$1_$2;
    /// for topics of the patterns and of the default topic
    #[arg(long, env = "KAFKA_MQTT_TOPIC_TO_MESSAGE_KEY", default_value = "")]
    pub kafka_mqtt_topic_to_message_key: String,
    /// How all producers place records in the topics of the rules: with murmur2 of the key, as this broker and Java's do, a
    /// subscription to one topic reads one partition; with any, all. A rule's `partitioner` goes first
    #[arg(long, env = "KAFKA_PARTITIONER", value_enum, default_value_t = Partitioner::Any)]
    pub kafka_partitioner: Partitioner,
    /// Create Kafka topics that are not there
    #[arg(long, env = "KAFKA_CREATE_TOPICS", action = ArgAction::Set, default_value_t = true)]
    pub kafka_create_topics: bool,
    /// Partitions of Kafka topics that the broker creates
    #[arg(long, env = "KAFKA_PARTITIONS", default_value_t = 6,
          value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub kafka_partitions: i32,
    /// Seconds that Kafka topics which the broker creates keep records
    #[arg(long, env = "KAFKA_RETENTION_S", default_value_t = 86_400)]
    pub kafka_retention_s: u64,
    /// Bytes that wait for Kafka at most; beyond, QoS 0 is dropped and QoS 1 and 2 wait at the client
    #[arg(long, env = "KAFKA_QUEUE_BYTES", default_value_t = 64 * 1024 * 1024,
          value_parser = clap::value_parser!(u64).range(65_536..))]
    pub kafka_queue_bytes: u64,

    /// Refuse clients without a user name
    #[arg(long, env = "AUTHENTICATION_REQUIRED", action = ArgAction::Set, default_value_t = true)]
    pub authentication_required: bool,
    /// Users: lines of user=password, or what `broker hash-password` prints
    #[arg(long, env = "USERS_FILE_PATH")]
    pub users_file_path: Option<PathBuf>,
    /// JSON web tokens
    #[command(flatten)]
    pub jwt: JwtConfig,
    /// Access rules: lines of Topic, Action, Condition, Outcome
    #[arg(long, env = "AUTHORIZATION_RULES_PATH")]
    pub authorization_rules_path: Option<PathBuf>,
    /// Access rules, inline
    #[arg(
        long,
        env = "AUTHORIZATION_RULES",
        conflicts_with = "authorization_rules_path"
    )]
    pub authorization_rules: Option<String>,
    /// ALLOW or DENY, when no access rule fits a publish
    #[arg(
        long,
        env = "AUTHORIZATION_PUBLISH_DEFAULT_OUTCOME",
        default_value = "DENY"
    )]
    pub authorization_publish_default_outcome: String,
    /// ALLOW or DENY, when no access rule fits a subscription
    #[arg(
        long,
        env = "AUTHORIZATION_SUBSCRIBE_DEFAULT_OUTCOME",
        default_value = "DENY"
    )]
    pub authorization_subscribe_default_outcome: String,

    /// QoS 1 and 2 messages on their way to a client at most
    #[arg(long, env = "MQTT_MAX_IN_FLIGHT_MESSAGES", default_value_t = 32,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub mqtt_max_in_flight_messages: u16,
    /// QoS 1 and 2 publishes of a client that wait for Kafka at most
    #[arg(long, env = "MQTT_RECEIVE_MAXIMUM", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub mqtt_receive_maximum: u16,
    /// Largest packet in bytes; Kafka's own limit is 1 MB unless changed there
    #[arg(long, env = "MQTT_MAX_MESSAGE_SIZE", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u32).range(128..=268_435_455))]
    pub mqtt_max_message_size: u32,
    /// Largest CONNECT in bytes, its will included: what a stranger may send
    #[arg(long, env = "MQTT_MAX_CONNECT_SIZE", default_value_t = 131_072,
          value_parser = clap::value_parser!(u32).range(128..=268_435_455))]
    pub mqtt_max_connect_size: u32,
    /// Topic aliases a client may use, and that are used towards it
    #[arg(long, env = "MQTT_TOPIC_ALIAS_MAXIMUM", default_value_t = 16)]
    pub mqtt_topic_alias_maximum: u16,
    /// Longest time in seconds that a session outlives its connection; 4294967295: for ever
    #[arg(long, env = "MQTT_SESSION_EXPIRY_MAX_S", default_value_t = 604_800)]
    pub mqtt_session_expiry_max_s: u32,
    /// Seconds after which a session that gets QoS 1 messages is stored again: after a crash, what it acknowledged since
    /// comes again
    #[arg(long, env = "MQTT_SESSION_CHECKPOINT_S", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub mqtt_session_checkpoint_s: u64,
    /// Subscriptions of a session at most
    #[arg(long, env = "MQTT_MAX_SUBSCRIPTIONS", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub mqtt_max_subscriptions: u32,
    /// Shared subscriptions of a node at most, each a group name and a filter; each costs a consumer in Kafka
    #[arg(long, env = "MQTT_MAX_SHARED_GROUPS", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(0..))]
    pub mqtt_max_shared_groups: u32,
    /// Longest topic name or filter in bytes
    #[arg(long, env = "MQTT_MAX_TOPIC_LENGTH", default_value_t = 1024,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub mqtt_max_topic_length: u16,
    /// Most levels of a topic name or filter
    #[arg(long, env = "MQTT_MAX_TOPIC_LEVELS", default_value_t = 32,
          value_parser = clap::value_parser!(u16).range(1..=128))]
    pub mqtt_max_topic_levels: u16,
    /// Longest client identifier in bytes
    #[arg(long, env = "MQTT_MAX_CLIENT_ID_LENGTH", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(23..))]
    pub mqtt_max_client_id_length: u16,
    /// Refuse a payload that says it is UTF-8 and is not
    #[arg(long, env = "MQTT_VALIDATE_PAYLOAD_FORMAT", action = ArgAction::Set, default_value_t = false)]
    pub mqtt_validate_payload_format: bool,
    /// What a client that asks may build response topics from; {client_id} is its own. Empty: nothing
    #[arg(
        long,
        env = "MQTT_RESPONSE_INFORMATION",
        default_value = "responses/{client_id}"
    )]
    pub mqtt_response_information: String,
    /// Server that MQTT 5 clients are sent to when this one is taken down
    #[arg(long, env = "MQTT_SERVER_REFERENCE")]
    pub mqtt_server_reference: Option<String>,
    /// Seconds between two messages of each topic below $SYS/broker/; 0: none
    #[arg(long, env = "MQTT_SYS_INTERVAL_S", default_value_t = 10)]
    pub mqtt_sys_interval_s: u64,
    /// Longest keep alive in seconds (MQTT 5); 0: no limit
    #[arg(long, env = "MQTT_KEEP_ALIVE_MAX_S", default_value_t = 0)]
    pub mqtt_keep_alive_max_s: u16,
    /// Seconds a client may take until its CONNECT is there
    #[arg(long, env = "MQTT_CONNECT_TIMEOUT_S", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub mqtt_connect_timeout_s: u64,
    /// Messages that wait for one client at most; beyond, QoS 0 is dropped and counted, QoS 1 and 2 are read again later
    #[arg(long, env = "CENTRALIZED_CONSUMER_LISTENER_QUEUE", default_value_t = 4096,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub client_queue: u32,
    /// Bytes of messages that wait for one client at most
    #[arg(long, env = "MQTT_CLIENT_QUEUE_BYTES", default_value_t = 4 * 1024 * 1024,
          value_parser = clap::value_parser!(u32).range(1024..))]
    pub mqtt_client_queue_bytes: u32,
    /// New connections in a second at most, 0: no limit; beyond, they wait
    #[arg(long, env = "MQTT_MAX_CONNECTION_RATE", default_value_t = 5000)]
    pub mqtt_max_connection_rate: u32,
    /// Connections at most
    #[arg(long, env = "MQTT_MAX_CONNECTIONS", default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub mqtt_max_connections: u32,
}

/// How long the session topic keeps all records of a key: far longer than a node may lag behind, or sleep.
const SESSION_LAG_MS: u64 = 3_600_000;

/// Settings that are checked and ready.
pub(crate) struct Ready {
    pub(crate) config: Config,
    pub(crate) rules: Rules,
    pub(crate) users: Authentication,
    pub(crate) acl: Acl,
    pub(crate) limits: Arc<Limits>,
    pub(crate) kafka: kafka::Settings,
}

impl Ready {
    pub(crate) fn new(settings: Settings<Config>) -> Result<Self, BadSetting> {
        let kafka_extra = settings.plain_table("kafka")?;
        let Settings {
            args: config,
            tables,
            file,
        } = settings;
        let file = file.map_or_else(|| "the config file".into(), |f| f.display().to_string());
        let mut written = topic_rules(&tables, &file)?;
        let lists = Lists {
            patterns: &config.kafka_messages_topics_patterns,
            prefixes: &config.kafka_messages_topics_prefixes,
            keys: &config.kafka_mqtt_topic_to_message_key,
            default_topic: &config.kafka_messages_default_topic,
        };
        written.extend(lists.rules()?);
        let rules = Rules::new(&written, &config.kafka_messages_default_topic)?
            .placed_by(config.kafka_partitioner);
        let users = Authentication::load(
            config.users_file_path.as_deref(),
            config.authentication_required,
            &config.jwt,
        )?;
        if users.locks_everybody_out() {
            return Err(BadSetting(
                "nobody could connect: set USERS_FILE_PATH to a file of user=password, or AUTHENTICATION_REQUIRED=false".into(),
            ));
        }
        let stores = [&config.retained_messages_topic, &config.session_topic];
        let taken = rules
            .iter()
            .find(|rule| stores.contains(&&rule.kafka_topic))
            .map(|rule| rule.kafka_topic.clone());
        if let Some(name) = taken.or_else(|| (stores[0] == stores[1]).then(|| stores[0].clone())) {
            return Err(BadSetting(format!(
                "kafka topic {name} is used twice: messages, RETAINED_MESSAGES_TOPIC and SESSION_TOPIC need one each"
            )));
        }
        let acl = access_rules(&config)?;
        let kafka = kafka::Settings::new(&config.kafka_bootstrap_servers).with(kafka_extra);
        let limits = Arc::new(Limits {
            packet_bytes_max: config.mqtt_max_message_size as usize,
            connect_bytes_max: config
                .mqtt_max_connect_size
                .min(config.mqtt_max_message_size) as usize,
            receive_maximum: config.mqtt_receive_maximum,
            in_flight_max: config.mqtt_max_in_flight_messages,
            topic_alias_maximum: config.mqtt_topic_alias_maximum,
            client_alias_maximum: config.mqtt_topic_alias_maximum,
            keep_alive_max_s: config.mqtt_keep_alive_max_s,
            session_expiry_max_s: config.mqtt_session_expiry_max_s,
            client_id_bytes_max: config.mqtt_max_client_id_length.into(),
            topic_bytes_max: config.mqtt_max_topic_length.into(),
            topic_levels_max: config.mqtt_max_topic_levels.into(),
            validates_payload_format: config.mqtt_validate_payload_format,
            connect_timeout: Duration::from_secs(config.mqtt_connect_timeout_s),
        });
        Ok(Self {
            config,
            rules,
            users,
            acl,
            limits,
            kafka,
        })
    }

    /// The Kafka topics to create where they are not there.
    pub(crate) fn kafka_topics(&self) -> Vec<kafka::admin::NewKafkaTopic> {
        use crate::rules::Retain;
        use kafka::admin::NewKafkaTopic;
        let config = &self.config;
        let mut topics: BTreeMap<&str, NewKafkaTopic> = BTreeMap::new();
        for rule in self.rules.iter() {
            let partitions = rule.partitions.unwrap_or(config.kafka_partitions);
            let retention =
                Duration::from_secs(rule.retention_s.unwrap_or(config.kafka_retention_s));
            topics
                .entry(&rule.kafka_topic)
                .or_insert_with(|| match rule.retain {
                    Retain::Latest => NewKafkaTopic::compacted(&rule.kafka_topic, partitions),
                    Retain::Topic => {
                        NewKafkaTopic::with_retention(&rule.kafka_topic, partitions, retention)
                    }
                });
        }
        let stores = [&config.retained_messages_topic, &config.session_topic];
        for name in stores {
            let topic = NewKafkaTopic::compacted(name, config.kafka_partitions);
            topics.insert(name, topic);
        }
        // What one node has claimed is not compacted away before all have read it.
        if let Some(sessions) = topics.get_mut(config.session_topic.as_str()) {
            let lag = ("min.compaction.lag.ms".into(), SESSION_LAG_MS.to_string());
            sessions.config.push(lag);
        }
        topics.into_values().collect()
    }
}

fn topic_rules(tables: &toml::Table, file: &str) -> Result<Vec<RuleConfig>, BadSetting> {
    match tables.get("topic") {
        None => Ok(vec![]),
        Some(rules) => rules.clone().try_into().map_err(|error: toml::de::Error| {
            BadSetting(format!("[[topic]] in {file}: {}", error.message()))
        }),
    }
}

fn access_rules(config: &Config) -> Result<Acl, BadSetting> {
    let defaults = (
        config.authorization_publish_default_outcome.as_str(),
        config.authorization_subscribe_default_outcome.as_str(),
    );
    match (
        &config.authorization_rules_path,
        &config.authorization_rules,
    ) {
        (Some(path), _) => {
            let name = format!("access rules {}", path.display());
            let text = std::fs::read_to_string(path)
                .map_err(|error| BadSetting(format!("can't read {name}: {error}")))?;
            Acl::parse(Some(&text), &name, defaults)
        }
        (None, Some(text)) => Acl::parse(Some(text), "AUTHORIZATION_RULES", defaults),
        (None, None) => Acl::parse(None, "", defaults),
    }
}
