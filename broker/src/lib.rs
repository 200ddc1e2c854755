//! MQTT on Kafka.
