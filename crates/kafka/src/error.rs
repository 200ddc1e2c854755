//! What can go wrong with Kafka.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A failure of the Kafka client or of the cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers at the bootstrap servers.
    #[error("can't reach kafka at {servers}: {reason}; check KAFKA_BOOTSTRAP_SERVERS")]
    Unreachable {
        /// The bootstrap servers that were tried.
        servers: String,
        /// What the client said.
        reason: String,
    },
    /// A setting that librdkafka does not take.
    #[error("kafka setting {name}: {reason}")]
    Setting {
        /// The setting's name.
        name: String,
        /// What librdkafka said.
        reason: String,
    },
    /// The cluster does not have this topic.
    #[error("kafka has no topic {0}")]
    NoTopic(String),
    /// The record is larger than the cluster takes.
    #[error("the record is too large for kafka")]
    TooLarge,
    /// What would have stored it has ended.
    #[error("not stored: this process ends")]
    Ended,
    /// Anything else.
    #[error("kafka: {0}")]
    Client(KafkaError),
}

impl From<KafkaError> for Error {
    fn from(error: KafkaError) -> Self {
        match &error {
            KafkaError::ClientConfig(_, reason, name, _) => Self::Setting {
                name: name.clone(),
                reason: reason.clone(),
            },
            _ if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                Self::TooLarge
            }
            _ => Self::Client(error),
        }
    }
}
