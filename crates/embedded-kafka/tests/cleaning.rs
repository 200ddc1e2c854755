//! Disk stays bounded: retention, compaction, deletion of records.

#![allow(clippy::unwrap_used)] // a test may

mod common;

use common::*;
use rdkafka::admin::AdminOptions;
use rdkafka::producer::FutureRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

fn segments(dir: &std::path::Path, topic: &str) -> u64 {
    let files = std::fs::read_dir(dir.join("topics").join(topic).join("0"))
        .unwrap()
        .map(|entry| entry.unwrap());
    files
        .filter(|file| file.path().extension().is_some_and(|e| e == "log"))
        .map(|f| f.metadata().unwrap().len())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_records_go_by_time_and_by_size() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "by-time", 1, &[("retention.ms", "100")]).await;
    create(
        &bootstrap,
        "by-size",
        1,
        &[("retention.bytes", "5000"), ("segment.bytes", "1000")],
    )
    .await;
    let producer = producer(&bootstrap, &[("linger.ms", "0")]);
    for n in 0..100 {
        put(&producer, "by-size", &n.to_string(), Some(&"x".repeat(100))).await;
    }
    for n in 0..10 {
        put(&producer, "by-time", &n.to_string(), Some("v")).await;
    }
    eventually("all are too old", || async {
        read(&bootstrap, "by-time", &[]).await.is_empty()
    })
    .await;
    eventually("some are too many", || async {
        segments(dir.path(), "by-size") <= 7000
    })
    .await;
    let left = read(&bootstrap, "by-size", &[]).await;
    assert!(
        left.len() >= 25 && left.last().unwrap().key == "99",
        "the newest stay: {:?}",
        keys(&left)
    );
    server.shutdown().await;
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    assert_eq!(read(&bootstrap, "by-size", &[]).await, left);
    let record = FutureRecord::to("by-time")
        .key("next")
        .payload("v")
        .partition(0);
    let next = producer_of(&bootstrap)
        .send(record, DEADLINE)
        .await
        .unwrap();
    assert_eq!(
        next.offset, 10,
        "offsets go on after a restart of an empty log"
    );
}

fn producer_of(bootstrap: &str) -> rdkafka::producer::FutureProducer {
    producer(bootstrap, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_keeps_the_newest_of_each_key_and_their_codec_headers_and_offsets() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("segment.ms", "50"),
    ];
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        create(
            &bootstrap,
            codec,
            1,
            &[&settings[..], &[("delete.retention.ms", "0")]].concat(),
        )
        .await;
        let producer = producer(
            &bootstrap,
            &[("compression.codec", codec), ("linger.ms", "5")],
        );
        let sends = (0..500).map(|n| {
            let (producer, value) = (producer.clone(), format!("{n}{}", "-".repeat(200)));
            async move { put(&producer, codec, &(n % 5).to_string(), Some(&value)).await }
        });
        futures_util::future::join_all(sends).await;
        put(&producer, codec, "0", None).await;
    }
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        eventually("compacted", || async {
            read(&bootstrap, codec, &[]).await.len() == 4
        })
        .await;
        let left = read(&bootstrap, codec, &[]).await;
        for record in &left {
            let newest = 495 + record.key.parse::<i64>().unwrap();
            assert!(
                record
                    .value
                    .as_ref()
                    .unwrap()
                    .starts_with(&format!("{newest}-")),
                "{codec} {}",
                record.key
            );
            assert_eq!(record.offset, newest, "{codec}");
        }
        assert!(
            segments(dir.path(), codec) < 10_000,
            "{codec}: the space is free again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_records_stay_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "topic", 1, &[]).await;
    let producer = producer(&bootstrap, &[]);
    for n in 0..10 {
        put(&producer, "topic", &n.to_string(), Some("v")).await;
    }
    let mut before = TopicPartitionList::new();
    before
        .add_partition_offset("topic", 0, Offset::Offset(7))
        .unwrap();
    admin(&bootstrap)
        .delete_records(&before, &AdminOptions::new())
        .await
        .unwrap();
    assert_eq!(keys(&read(&bootstrap, "topic", &[]).await), ["7", "8", "9"]);
    server.shutdown().await;
    let server = start(dir.path()).await;
    assert_eq!(
        keys(&read(&server.bootstrap_servers(), "topic", &[]).await),
        ["7", "8", "9"]
    );
}
