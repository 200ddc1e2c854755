//! Totals from positions, Kafka to Kafka.
