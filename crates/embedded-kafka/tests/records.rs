//! Produce and consume: what goes in comes out, once and in order.

#![allow(clippy::unwrap_used)] // a test may

mod common;

use common::*;
use rdkafka::admin::{AdminOptions, AlterConfig, ConfigResource, NewPartitions, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

#[tokio::test(flavor = "multi_thread")]
async fn keys_values_headers_and_timestamps_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "records", 1, &[]).await;
    let producer = producer(&bootstrap, &[("enable.idempotence", "true")]);
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "twice",
            value: Some("1"),
        })
        .insert(Header {
            key: "null",
            value: None::<&str>,
        })
        .insert(Header {
            key: "twice",
            value: Some("2"),
        });
    let record = FutureRecord::to("records")
        .key("k")
        .payload("v")
        .headers(headers)
        .timestamp(1_700_000_000_000);
    producer.send(record, DEADLINE).await.unwrap();
    put(&producer, "records", "tombstone", None).await;
    put(&producer, "records", "empty", Some("")).await;

    let read = read(&bootstrap, "records", &[]).await;
    assert_eq!(keys(&read), ["k", "tombstone", "empty"]);
    let header = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
    assert_eq!(
        read[0].headers,
        [
            header("twice", Some("1")),
            header("null", None),
            header("twice", Some("2"))
        ]
    );
    assert_eq!(read[0].timestamp, Some(1_700_000_000_000));
    assert_eq!(
        (read[1].value.as_deref(), read[2].value.as_deref()),
        (None, Some(""))
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_stored_as_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        // Compacted, so that the records are looked into for their keys.
        create(&bootstrap, codec, 1, &[("cleanup.policy", "compact")]).await;
        let producer = producer(
            &bootstrap,
            &[("compression.codec", codec), ("linger.ms", "50")],
        );
        let value = "abc".repeat(1000);
        let sends = (0..50).map(|n| put_value(&producer, codec, n, &value));
        futures_util::future::join_all(sends).await;
        let read = read(&bootstrap, codec, &[]).await;
        assert_eq!(read.len(), 50, "{codec}");
        assert!(
            read.iter()
                .all(|record| record.value.as_ref() == Some(&value)),
            "{codec}"
        );
    }
}

async fn put_value(
    producer: &rdkafka::producer::FutureProducer,
    topic: &str,
    key: usize,
    value: &str,
) {
    put(producer, topic, &key.to_string(), Some(value)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_larger_than_the_topic_takes_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "small", 1, &[("max.message.bytes", "1000")]).await;
    let producer = producer(&bootstrap, &[]);
    let value = "x".repeat(2000);
    let result = producer
        .send(FutureRecord::to("small").key("k").payload(&value), DEADLINE)
        .await;
    let (error, _) = result.unwrap_err();
    assert_eq!(
        error,
        KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge)
    );
    create(&bootstrap, "compacted", 1, &[("cleanup.policy", "compact")]).await;
    let result = producer
        .send(
            FutureRecord::<(), str>::to("compacted").payload("no key"),
            DEADLINE,
        )
        .await;
    assert_eq!(
        result.unwrap_err().0,
        KafkaError::MessageProduction(RDKafkaErrorCode::InvalidRecord)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_found_by_time_and_reset_when_out_of_range() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    // The records are of 1970, so they must not be too old.
    create(
        &bootstrap,
        "times",
        1,
        &[("segment.bytes", "300"), ("retention.ms", "-1")],
    )
    .await;
    let producer = producer(&bootstrap, &[]);
    for n in 0..20i64 {
        let record = FutureRecord::to("times")
            .key("k")
            .payload("v")
            .timestamp(1_000_000 + n * 1000);
        producer.send(record, DEADLINE).await.unwrap();
    }
    let found = tokio::task::spawn_blocking({
        let bootstrap = bootstrap.clone();
        move || {
            let consumer: BaseConsumer = client(&bootstrap, &[("group.id", "g")]).create().unwrap();
            assert_eq!(
                consumer.fetch_watermarks("times", 0, DEADLINE).unwrap(),
                (0, 20)
            );
            [0, 1_000_000, 1_000_001, 1_005_000, 1_019_000, 1_019_001].map(|time| {
                let mut wanted = TopicPartitionList::new();
                wanted
                    .add_partition_offset("times", 0, Offset::Offset(time))
                    .unwrap();
                consumer
                    .offsets_for_times(wanted, DEADLINE)
                    .unwrap()
                    .elements()[0]
                    .offset()
            })
        }
    });
    let expected = [0, 0, 1, 5, 19].map(Offset::Offset);
    let found = found.await.unwrap();
    assert_eq!((&found[..5], found[5]), (&expected[..], Offset::End));
    assert_eq!(read(&bootstrap, "times", &[]).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_described_changed_grown_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    let (admin, options) = (admin(&bootstrap), AdminOptions::new());
    create(&bootstrap, "topic", 2, &[("retention.ms", "1000000")]).await;
    let producer = producer(&bootstrap, &[]);
    put(&producer, "topic", "old", Some("1")).await;

    let wanted = [ResourceSpecifier::Topic("topic")];
    let describe = async || -> ConfigResource {
        admin
            .describe_configs(&wanted, &options)
            .await
            .unwrap()
            .remove(0)
            .unwrap()
    };
    let value =
        |resource: &ConfigResource, name: &str| resource.entry_map()[name].value.clone().unwrap();
    assert_eq!(value(&describe().await, "retention.ms"), "1000000");
    let change = AlterConfig::new(wanted[0]).set("cleanup.policy", "compact,delete");
    admin
        .alter_configs([&change], &options)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(value(&describe().await, "cleanup.policy"), "compact,delete");
    assert_eq!(
        value(&describe().await, "retention.ms"),
        "604800000",
        "what is not named falls back"
    );
    let nonsense = AlterConfig::new(wanted[0]).set("cleanup.policy", "shred");
    // The Rust client does not pass the error on, so look at what came of it.
    admin.alter_configs([&nonsense], &options).await.unwrap();
    assert_eq!(
        value(&describe().await, "cleanup.policy"),
        "compact,delete",
        "nonsense changes nothing"
    );

    admin
        .create_partitions(&[NewPartitions::new("topic", 4)], &options)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let metadata = producer_metadata(&bootstrap, "topic").await;
    assert_eq!(metadata, 4);
    admin
        .delete_topics(&["topic"], &options)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    create(&bootstrap, "topic", 1, &[]).await;
    assert_eq!(
        read(&bootstrap, "topic", &[]).await,
        [],
        "nothing of the old one"
    );
}

async fn producer_metadata(bootstrap: &str, topic: &'static str) -> usize {
    let consumer: BaseConsumer = client(bootstrap, &[("group.id", "g")]).create().unwrap();
    let fetch = move || {
        consumer
            .fetch_metadata(Some(topic), DEADLINE)
            .unwrap()
            .topics()[0]
            .partitions()
            .len()
    };
    tokio::task::spawn_blocking(fetch).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_at_the_end_is_woken_by_the_next_record() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "tail", 1, &[]).await;
    let producer = producer(&bootstrap, &[("linger.ms", "0")]);
    put(&producer, "tail", "first", Some("1")).await;
    // The wait is longer than the test may take: only the notification can end it.
    let wait = [
        ("group.id", "g"),
        ("fetch.wait.max.ms", "200000"),
        ("socket.timeout.ms", "250000"),
    ];
    let consumer: BaseConsumer = client(&bootstrap, &wait).create().unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset("tail", 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&assignment).unwrap();
    let mut tail = tokio::task::spawn_blocking(move || {
        let next = || record(&consumer.poll(DEADLINE).unwrap().unwrap()).key;
        let first = next();
        (first, next())
    });
    // Not yet: the second record is not there.
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(500), &mut tail)
            .await
            .is_err()
    );
    put(&producer, "tail", "second", Some("2")).await;
    assert_eq!(tail.await.unwrap(), ("first".into(), "second".into()));
}
