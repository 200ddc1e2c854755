//! One-node Kafka-protocol server.
