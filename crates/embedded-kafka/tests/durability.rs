//! What was acknowledged is there after `kill -9`, and a torn tail is cut off.

#![allow(clippy::unwrap_used)] // a test may

mod common;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureRecord, Producer};

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_records_survive_kill_9_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), "127.0.0.1:0");
    let (bootstrap, listen) = (process.bootstrap(), process.address.to_string());
    create(&bootstrap, "topic", 1, &[]).await;
    let producer = producer(
        &bootstrap,
        &[
            ("enable.idempotence", "true"),
            ("message.timeout.ms", "60000"),
        ],
    );
    let done = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (producer, done) = (producer.clone(), done.clone());
        async move {
            let mut acknowledged = 0;
            while !done.load(Ordering::Relaxed) {
                put(&producer, "topic", &acknowledged.to_string(), Some("v")).await;
                acknowledged += 1;
            }
            acknowledged
        }
    });
    let mut process = process;
    for _ in 0..3 {
        let before = end(&bootstrap).await;
        eventually("the writer gets on", || async {
            end(&bootstrap).await > before + 20
        })
        .await;
        process.kill();
        process = Process::start(dir.path(), &listen);
    }
    done.store(true, Ordering::Relaxed);
    let acknowledged = writing.await.unwrap();
    let expected: Vec<String> = (0..acknowledged).map(|n: i32| n.to_string()).collect();
    assert_eq!(keys(&read(&bootstrap, "topic", &[]).await), expected);
}

/// The end of the partition, which may be moving.
async fn end(bootstrap: &str) -> i64 {
    let consumer: BaseConsumer = client(bootstrap, &[("group.id", "g")]).create().unwrap();
    let watermarks = move || consumer.fetch_watermarks("topic", 0, DEADLINE).unwrap();
    tokio::task::spawn_blocking(watermarks).await.unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_offsets_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), "127.0.0.1:0");
    let bootstrap = process.bootstrap();
    create(&bootstrap, "topic", 1, &[]).await;
    let transactional = |bootstrap: String| async move {
        let producer = producer(&bootstrap, &[("transactional.id", "id")]);
        let init = producer.clone();
        tokio::task::spawn_blocking(move || init.init_transactions(DEADLINE))
            .await
            .unwrap()
            .unwrap();
        producer.begin_transaction().unwrap();
        producer
    };
    let commit = |producer: rdkafka::producer::FutureProducer| async move {
        tokio::task::spawn_blocking(move || producer.commit_transaction(DEADLINE))
            .await
            .unwrap()
            .unwrap();
    };
    let first = transactional(bootstrap.clone()).await;
    put(&first, "topic", "committed", Some("v")).await;
    commit(first.clone()).await;
    first.begin_transaction().unwrap();
    put(&first, "topic", "open", Some("v")).await;
    process.kill();
    std::mem::forget(first); // as if it had died too

    let process = Process::start(dir.path(), "127.0.0.1:0");
    let bootstrap = process.bootstrap();
    let committed = [("isolation.level", "read_committed")];
    assert_eq!(
        keys(&read(&bootstrap, "topic", &committed).await),
        ["committed"]
    );
    let second = transactional(bootstrap.clone()).await;
    put(&second, "topic", "next", Some("v")).await;
    commit(second).await;
    assert_eq!(
        keys(&read(&bootstrap, "topic", &committed).await),
        ["committed", "next"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_off_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    create(&server.bootstrap_servers(), "topic", 1, &[]).await;
    let before = producer(&server.bootstrap_servers(), &[]);
    for key in ["0", "1", "2"] {
        put(&before, "topic", key, Some("a value of some length")).await;
    }
    server.shutdown().await;
    let segment = dir.path().join("topics/topic/0/00000000000000000000.log");
    let whole = std::fs::read(&segment).unwrap();
    let batch = whole.len() / 3;
    let half_a_batch = &whole[2 * batch..2 * batch + 80];
    let mut wrong_checksum = whole[2 * batch..].to_vec();
    wrong_checksum[70] ^= 1;
    for (tail, kept) in [
        (half_a_batch, 2),
        (&wrong_checksum[..], 3),
        (&[0xff; 200][..], 4),
    ] {
        // Each round the log has one record more: what the round before appended after its cut.
        let bytes = std::fs::read(&segment).unwrap();
        let mut file = std::fs::File::create(&segment).unwrap();
        file.write_all(&bytes[..kept * batch]).unwrap();
        file.write_all(tail).unwrap();
        drop(file);
        let server = start(dir.path()).await;
        let bootstrap = server.bootstrap_servers();
        assert_eq!(read(&bootstrap, "topic", &[]).await.len(), kept);
        let record = FutureRecord::to("topic")
            .key("n")
            .payload("a value of some length")
            .partition(0);
        let offset = producer(&bootstrap, &[])
            .send(record, DEADLINE)
            .await
            .unwrap()
            .offset;
        assert_eq!(
            offset, kept as i64,
            "the next offset follows the last whole record"
        );
        server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_directory_has_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let error = embedded_kafka::Server::start(embedded_kafka::Config::new(dir.path()))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("another server uses it"),
        "{error}"
    );
    server.shutdown().await;
    start(dir.path()).await.shutdown().await;
}
