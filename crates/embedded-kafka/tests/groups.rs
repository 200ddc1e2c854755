//! Consumer groups: members share the partitions, and committed offsets stay.

#![allow(clippy::unwrap_used)] // a test may

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// A member that polls on its own thread, as group membership wants it.
struct Member {
    assignment: Arc<Mutex<BTreeSet<i32>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    fn start(bootstrap: &str, strategy: &str) -> Member {
        let settings = [
            ("group.id", "group"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "100"),
            ("partition.assignment.strategy", strategy),
        ];
        let consumer: BaseConsumer = client(bootstrap, &settings).create().unwrap();
        consumer.subscribe(&["topic"]).unwrap();
        let (assignment, stop) = (
            Arc::new(Mutex::new(BTreeSet::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (shared, stopped) = (assignment.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                drop(consumer.poll(Duration::from_millis(20)));
                let now = consumer.assignment().unwrap();
                *shared.lock() = now
                    .elements()
                    .iter()
                    .map(|element| element.partition())
                    .collect();
            }
        });
        Member {
            assignment,
            stop,
            thread: Some(thread),
        }
    }

    fn partitions(&self) -> BTreeSet<i32> {
        self.assignment.lock().clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap(); // closes the consumer, which leaves the group
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_the_partitions_and_the_second_gives_its_back_when_it_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "topic", 4, &[]).await;
    for strategy in ["range", "cooperative-sticky"] {
        let first = Member::start(&bootstrap, strategy);
        eventually("the first has all", || async {
            first.partitions().len() == 4
        })
        .await;
        let second = Member::start(&bootstrap, strategy);
        eventually("each has two", || async {
            let (a, b) = (first.partitions(), second.partitions());
            a.len() == 2 && b.len() == 2 && a.is_disjoint(&b)
        })
        .await;
        let list = || {
            consumer(&bootstrap)
                .fetch_group_list(Some("group"), DEADLINE)
                .unwrap()
        };
        assert_eq!(list().groups()[0].members().len(), 2);
        drop(second);
        eventually("the first has all again", || async {
            first.partitions().len() == 4
        })
        .await;
        drop(first);
        let is_empty = || {
            list()
                .groups()
                .first()
                .is_none_or(|group| group.members().is_empty())
        };
        eventually("the group is empty", || async { is_empty() }).await;
    }
}

fn consumer(bootstrap: &str) -> BaseConsumer {
    client(
        bootstrap,
        &[("group.id", "group"), ("enable.auto.commit", "false")],
    )
    .create()
    .unwrap()
}

fn committed(bootstrap: &str) -> Offset {
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition("topic", 0);
    consumer(bootstrap)
        .committed_offsets(wanted, DEADLINE)
        .unwrap()
        .elements()[0]
        .offset()
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_offsets_stay_until_their_group_or_topic_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    create(&bootstrap, "topic", 1, &[]).await;
    let commit = |bootstrap: &str, topic: &str, offset| {
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(topic, 0, Offset::Offset(offset))
            .unwrap();
        consumer(bootstrap).commit(&offsets, CommitMode::Sync)
    };
    assert_eq!(committed(&bootstrap), Offset::Invalid);
    commit(&bootstrap, "topic", 41).unwrap();
    commit(&bootstrap, "topic", 42).unwrap();
    let error = commit(&bootstrap, "missing", 1).unwrap_err();
    assert_eq!(
        error,
        KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownTopicOrPartition)
    );
    server.shutdown().await;

    let server = start(dir.path()).await;
    let bootstrap = server.bootstrap_servers();
    assert_eq!(committed(&bootstrap), Offset::Offset(42));
    let deleted = admin(&bootstrap)
        .delete_groups(&["group", "stranger"], &AdminOptions::new())
        .await
        .unwrap();
    assert_eq!(deleted[0], Ok("group".into()));
    assert_eq!(
        deleted[1],
        Err(("stranger".into(), RDKafkaErrorCode::GroupIdNotFound))
    );
    assert_eq!(committed(&bootstrap), Offset::Invalid);

    commit(&bootstrap, "topic", 43).unwrap();
    admin(&bootstrap)
        .delete_topics(&["topic"], &AdminOptions::new())
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    create(&bootstrap, "topic", 1, &[]).await;
    assert_eq!(
        committed(&bootstrap),
        Offset::Invalid,
        "the new topic is another"
    );
}
