//! Is the cluster there, and has it the topics we need?

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::quiet::Quiet;
use crate::{Error, Settings};

/// How long a cluster may take until all of its nodes know a new topic: a guess; seen on one node: some ms.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// A topic as it shall be created when it isn't there.
#[derive(Clone, Debug)]
pub struct NewKafkaTopic {
    /// Its name.
    pub name: String,
    /// How many partitions, at least 1.
    pub partitions: i32,
    /// Topic settings by Kafka's names, e.g. `cleanup.policy`.
    pub config: Vec<(String, String)>,
}

impl NewKafkaTopic {
    /// A topic that forgets records after `retention`.
    pub fn with_retention(name: &str, partitions: i32, retention: Duration) -> Self {
        Self {
            name: name.to_owned(),
            partitions,
            config: vec![("retention.ms".into(), retention.as_millis().to_string())],
        }
    }

    /// A topic that keeps the newest record of each key.
    pub fn compacted(name: &str, partitions: i32) -> Self {
        Self {
            name: name.to_owned(),
            partitions,
            config: vec![("cleanup.policy".into(), "compact".into())],
        }
    }
}

/// Asks the cluster for its metadata.
///
/// # Errors
/// When nothing answers within `timeout`, or a setting is wrong.
pub async fn check(settings: &Settings, timeout: Duration) -> Result<(), Error> {
    let settings = settings.clone();
    blocking(move || {
        let client: BaseConsumer<Quiet> =
            settings.client(&[]).create_with_context(Quiet::default())?;
        client
            .fetch_metadata(None, timeout)
            .map(drop)
            .map_err(|error| unreachable_at(&settings, &error))
    })
    .await
}

/// Creates those of `topics` that are not there; leaves the others as they are.
///
/// # Errors
/// When the cluster can't be reached or refuses a topic.
pub async fn ensure_topics(
    settings: &Settings,
    topics: &[NewKafkaTopic],
    timeout: Duration,
) -> Result<(), Error> {
    let admin: AdminClient<Quiet> = settings.client(&[]).create_with_context(Quiet::default())?;
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| {
            // -1: the cluster's own default replication.
            let mut new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(-1));
            for (name, value) in &topic.config {
                new = new.set(name, value);
            }
            new
        })
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(timeout))
        .operation_timeout(Some(timeout));
    let results = admin
        .create_topics(&new, &options)
        .await
        .map_err(|error| unreachable_at(settings, &error))?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                tracing::error!(kafka_topic = name, %code, "can't create topic");
                return Err(KafkaError::AdminOp(code).into());
            }
        }
    }
    Ok(())
}

/// How many partitions a topic has. Blocks.
pub(crate) fn partitions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    kafka_topic: &str,
    timeout: Duration,
) -> Result<i32, Error> {
    once_settled(|| {
        let metadata = consumer.fetch_metadata(Some(kafka_topic), timeout)?;
        let count = metadata
            .topics()
            .first()
            .filter(|topic| topic.error().is_none())
            .map_or(0, |topic| topic.partitions().len());
        match i32::try_from(count) {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(Error::NoTopic(kafka_topic.to_owned())),
        }
    })
}

/// The offset of a partition's oldest record, and the one that its next record will get. Blocks.
pub(crate) fn bounds<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    kafka_topic: &str,
    partition: i32,
    timeout: Duration,
) -> Result<(i64, i64), Error> {
    once_settled(|| Ok(consumer.fetch_watermarks(kafka_topic, partition, timeout)?))
}

/// Asks again, for [`SETTLE_TIMEOUT`] at most, while the cluster is still making a topic: not all of its nodes know a
/// new one at once, and the leader of a partition may not know that it is.
fn once_settled<T>(ask: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        match ask() {
            Err(error) if is_unsettled(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

fn is_unsettled(error: &Error) -> bool {
    match error {
        Error::NoTopic(_) => true,
        Error::Client(error) => matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::NotLeaderForPartition
                    | RDKafkaErrorCode::LeaderNotAvailable
                    | RDKafkaErrorCode::UnknownTopicOrPartition
            )
        ),
        _ => false,
    }
}

fn unreachable_at(settings: &Settings, error: &KafkaError) -> Error {
    let reason = match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut,
        ) => "nothing answers".to_owned(),
        Some(code) => code.to_string(),
        None => error.to_string(),
    };
    Error::Unreachable {
        servers: settings.bootstrap_servers().to_owned(),
        reason,
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .expect("a call into librdkafka does not panic")
}
