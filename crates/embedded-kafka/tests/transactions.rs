//! Transactions: all or nothing for readers of committed records, and one living producer per transactional id.

#![allow(clippy::unwrap_used)] // a test may

mod common;

use std::time::Duration;

use common::*;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const COMMITTED: &[(&str, &str)] = &[("isolation.level", "read_committed")];
const UNCOMMITTED: &[(&str, &str)] = &[("isolation.level", "read_uncommitted")];

/// Waits for the answer of the coordinator.
async fn ask(
    producer: &FutureProducer,
    what: fn(&FutureProducer) -> Result<(), KafkaError>,
) -> Result<(), KafkaError> {
    let producer = producer.clone();
    tokio::task::spawn_blocking(move || what(&producer))
        .await
        .unwrap()
}

async fn transactional(bootstrap: &str, id: &str, settings: &[(&str, &str)]) -> FutureProducer {
    let own = [
        ("transactional.id", id),
        ("transaction.timeout.ms", "60000"),
    ];
    let producer = producer(
        bootstrap,
        &own.iter().chain(settings).copied().collect::<Vec<_>>(),
    );
    ask(&producer, |producer| producer.init_transactions(DEADLINE))
        .await
        .unwrap();
    producer
}

async fn commit(producer: &FutureProducer) -> Result<(), KafkaError> {
    ask(producer, |producer| producer.commit_transaction(DEADLINE)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_records_and_offsets_count_and_aborted_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "in", 1, &[]).await;
    create(&bootstrap, "out", 1, &[]).await;
    let consumer: BaseConsumer = client(&bootstrap, &[("group.id", "group")])
        .create()
        .unwrap();
    let group = consumer.group_metadata().unwrap();
    let producer = transactional(&bootstrap, "id", &[]).await;
    for (key, offset, commits) in [
        ("a", 7, true),
        ("b", 9, false),
        ("c", 8, true),
        ("d", 5, false),
    ] {
        producer.begin_transaction().unwrap();
        put(&producer, "out", key, Some("v")).await;
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset("in", 0, Offset::Offset(offset))
            .unwrap();
        let (sender, metadata) = (producer.clone(), group_of(&consumer));
        let send = move || sender.send_offsets_to_transaction(&offsets, &metadata, DEADLINE);
        tokio::task::spawn_blocking(send).await.unwrap().unwrap();
        match commits {
            true => commit(&producer).await.unwrap(),
            false => ask(&producer, |producer| producer.abort_transaction(DEADLINE))
                .await
                .unwrap(),
        }
    }
    drop(group);
    assert_eq!(keys(&read(&bootstrap, "out", COMMITTED).await), ["a", "c"]);
    assert_eq!(
        keys(&read(&bootstrap, "out", UNCOMMITTED).await),
        ["a", "b", "c", "d"]
    );
    let committed = tokio::task::spawn_blocking(move || {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition("in", 0);
        consumer
            .committed_offsets(wanted, DEADLINE)
            .unwrap()
            .elements()[0]
            .offset()
    });
    assert_eq!(committed.await.unwrap(), Offset::Offset(8));
    server.shutdown().await;
    let server = start(dir.path()).await;
    assert_eq!(
        keys(&read(&server.bootstrap_servers(), "out", COMMITTED).await),
        ["a", "c"],
        "after a restart"
    );
}

fn group_of(consumer: &BaseConsumer) -> rdkafka::consumer::ConsumerGroupMetadata {
    consumer.group_metadata().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_holds_readers_of_committed_records_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "topic", 1, &[]).await;
    let plain = producer(&bootstrap, &[]);
    let producer = transactional(&bootstrap, "id", &[]).await;
    put(&plain, "topic", "before", Some("v")).await;
    producer.begin_transaction().unwrap();
    put(&producer, "topic", "inside", Some("v")).await;
    put(&plain, "topic", "after", Some("v")).await;
    assert_eq!(
        keys(&read(&bootstrap, "topic", COMMITTED).await),
        ["before"]
    );
    assert_eq!(
        keys(&read(&bootstrap, "topic", UNCOMMITTED).await),
        ["before", "inside", "after"]
    );
    commit(&producer).await.unwrap();
    assert_eq!(
        keys(&read(&bootstrap, "topic", COMMITTED).await),
        ["before", "inside", "after"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_producer_of_the_same_id_fences_the_first_and_aborts_what_it_left() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "topic", 1, &[]).await;
    let old = transactional(&bootstrap, "id", &[]).await;
    old.begin_transaction().unwrap();
    put(&old, "topic", "old", Some("v")).await;
    let new = transactional(&bootstrap, "id", &[]).await;
    new.begin_transaction().unwrap();
    put(&new, "topic", "new", Some("v")).await;
    let error = commit(&old).await.unwrap_err();
    assert_eq!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::Fenced),
        "{error}"
    );
    commit(&new).await.unwrap();
    assert_eq!(keys(&read(&bootstrap, "topic", COMMITTED).await), ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_left_open_is_aborted_by_its_timeout_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "topic", 1, &[]).await;
    let timeout = [
        ("transaction.timeout.ms", "1000"),
        ("message.timeout.ms", "1000"),
    ];
    let left = transactional(&bootstrap, "left", &timeout).await;
    left.begin_transaction().unwrap();
    put(&left, "topic", "left", Some("v")).await;
    std::mem::forget(left); // as if it had crashed: dropping it would abort
    server.shutdown().await;
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    put(&producer(&bootstrap, &[]), "topic", "plain", Some("v")).await;
    eventually("the open transaction is aborted", || async {
        keys(&read(&bootstrap, "topic", COMMITTED).await) == ["plain"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_of_transactional_records_keeps_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    let eager = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0"),
        ("segment.ms", "50"),
    ];
    create(
        &bootstrap,
        "topic",
        1,
        &[&eager[..], &[("delete.retention.ms", "0")]].concat(),
    )
    .await;
    let producer = transactional(&bootstrap, "id", &[("linger.ms", "0")]).await;
    for round in 0..6 {
        producer.begin_transaction().unwrap();
        put(&producer, "topic", "key", Some(&round.to_string())).await;
        match round % 2 {
            0 => commit(&producer).await.unwrap(),
            _ => ask(&producer, |producer| producer.abort_transaction(DEADLINE))
                .await
                .unwrap(),
        }
    }
    let newest = async |bootstrap: &str| {
        let records = read(bootstrap, "topic", COMMITTED).await;
        assert_eq!(
            records
                .last()
                .and_then(|record| record.value.clone())
                .as_deref(),
            Some("4")
        );
        records.len()
    };
    eventually("only the newest committed value is left", || async {
        newest(&bootstrap).await == 1
    })
    .await;
    assert_eq!(
        read(&bootstrap, "topic", UNCOMMITTED).await.len(),
        1,
        "aborted records are gone"
    );
    server.shutdown().await;
    let server = start(dir.path()).await;
    assert_eq!(
        newest(&server.bootstrap_servers()).await,
        1,
        "nothing looks open after a restart"
    );
    tokio::time::timeout(
        Duration::from_secs(60),
        commit_one_more(&server.bootstrap_servers()),
    )
    .await
    .unwrap();
}

async fn commit_one_more(bootstrap: &str) {
    let producer = transactional(bootstrap, "id", &[]).await;
    producer.begin_transaction().unwrap();
    put(&producer, "topic", "other", Some("v")).await;
    commit(&producer).await.unwrap();
    assert!(keys(&read(bootstrap, "topic", COMMITTED).await).contains(&"other"));
}
