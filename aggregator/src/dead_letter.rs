//! Where records go that say nothing, each once.
//!
//! | part | content |
//! |---|---|
//! | key | `<topic>/<partition>` of the record, so that its dead letters keep their order |
//! | value | the first [`VALUE_BYTES_MAX`] bytes of its value |
//! | header `reason` | why, at most [`TEXT_BYTES_MAX`] bytes |
//! | headers `topic`, `partition`, `offset` | where the record stands |
//! | header `key` | the first [`TEXT_BYTES_MAX`] bytes of its key; missing when it has none |
//! | header `bytes` | how long its value is |
//!
//! They are written in the transaction that says how far the records are read: so each is there once.

use std::sync::Arc;

use kafka::{NewRecord, Record};

/// So much of a value is kept: enough to see what it is; a record of many megabytes is not copied whole.
pub(crate) const VALUE_BYTES_MAX: usize = 4096;
/// So much of the reason and of the key is kept.
pub(crate) const TEXT_BYTES_MAX: usize = 256;

/// The dead letter of a record.
pub(crate) fn letter(kafka_topic: &Arc<str>, record: &Record, reason: &str) -> NewRecord {
    let value = record.value.as_deref().unwrap_or_default();
    let text = |number: String| number.into_bytes();
    // A parser quotes what it met, however long that is.
    let reason = &reason[..reason.floor_char_boundary(TEXT_BYTES_MAX)];
    let mut headers = vec![
        ("reason", reason.as_bytes().to_vec()),
        ("topic", record.kafka_topic.as_bytes().to_vec()),
        ("partition", text(record.partition.to_string())),
        ("offset", text(record.offset.to_string())),
        ("bytes", text(value.len().to_string())),
    ];
    if let Some(key) = &record.key {
        headers.push(("key", first(key, TEXT_BYTES_MAX)));
    }
    NewRecord {
        kafka_topic: Arc::clone(kafka_topic),
        partition: None,
        key: format!("{}/{}", record.kafka_topic, record.partition).into_bytes(),
        value: Some(first(value, VALUE_BYTES_MAX).into()),
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

fn first(bytes: &[u8], max: usize) -> Vec<u8> {
    bytes[..bytes.len().min(max)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_letter_names_its_record_and_is_short_however_long_that_is() {
        let huge = vec![b'x'; 10_000_000];
        let record = Record {
            kafka_topic: "vehicle_updates".into(),
            partition: 3,
            offset: 41,
            timestamp_ms: 0,
            key: Some(Bytes::copy_from_slice(&huge)),
            value: Some(Bytes::copy_from_slice(&huge)),
            headers: vec![],
        };
        let letter = letter(&"dead_letters".into(), &record, &"ä".repeat(1000));
        assert_eq!(letter.key, b"vehicle_updates/3");
        assert_eq!(letter.value.unwrap().len(), VALUE_BYTES_MAX);
        let short = "ä".repeat(TEXT_BYTES_MAX / 2);
        assert_eq!(
            letter.headers,
            [
                ("reason", short.into_bytes()),
                ("topic", b"vehicle_updates".to_vec()),
                ("partition", b"3".to_vec()),
                ("offset", b"41".to_vec()),
                ("bytes", b"10000000".to_vec()),
                ("key", huge[..TEXT_BYTES_MAX].to_vec()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
        );
    }
}
