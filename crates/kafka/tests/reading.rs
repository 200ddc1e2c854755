//! Reading from anywhere: cursors, single records, and how far a tail is.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use kafka::admin::{self, NewKafkaTopic};
use kafka::{
    Cursor, Ends, Fetched, Found, Lookup, Place, Producer, Settings, Start, Tail, ToSend,
    partition_of,
};

const TIMEOUT: Duration = Duration::from_secs(60);
const COUNT: i64 = 5000;

/// A server with one topic of one partition that holds `COUNT` records; the value is the offset.
async fn kafka() -> (embedded_kafka::Server, tempfile::TempDir, Settings) {
    let dir = tempfile::tempdir().unwrap();
    let server = embedded_kafka::Server::start(embedded_kafka::Config::new(dir.path()))
        .await
        .unwrap();
    let settings = Settings::new(server.bootstrap_servers());
    let topic = NewKafkaTopic::with_retention("t", 1, Duration::from_secs(3600));
    admin::ensure_topics(&settings, &[topic], TIMEOUT)
        .await
        .unwrap();
    write(&settings, 0..COUNT).await;
    (server, dir, settings)
}

async fn write(settings: &Settings, numbers: std::ops::Range<i64>) {
    let producer = Producer::new(settings, 64 * 1024 * 1024).unwrap();
    for number in numbers {
        let value = number.to_string();
        let record = ToSend {
            kafka_topic: "t",
            partition: None,
            key: Some(b"k"),
            value: Some(value.as_bytes()),
            headers: &[],
        };
        assert!(producer.send(&record, None).is_ok());
    }
    producer.flush(TIMEOUT).await.unwrap();
}

/// The next record's offset, or `None` at the end.
fn next(cursor: &mut Cursor) -> Option<i64> {
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        assert!(std::time::Instant::now() < deadline, "nothing came");
        match cursor.next(Duration::from_millis(100)).unwrap() {
            Found::Record(record) => return Some(record.offset),
            Found::End => return None,
            Found::Nothing => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_goes_forth_and_back_and_sees_the_end() {
    let (server, _dir, settings) = kafka().await;
    let more = settings.clone();
    let reader = tokio::task::spawn_blocking(move || {
        let topic: Arc<str> = "t".into();
        let mut cursor = Cursor::new(&settings, 64 * 1024, &Fetched::default()).unwrap();
        cursor.seek(&topic, 0, COUNT - 2).unwrap();
        let seen = [(); 3].map(|()| next(&mut cursor));
        assert_eq!(seen, [Some(COUNT - 2), Some(COUNT - 1), None]);
        cursor.seek(&topic, 0, 10).unwrap();
        assert_eq!(next(&mut cursor), Some(10));
        cursor.seek(&topic, 0, 3).unwrap();
        for offset in 3..COUNT {
            assert_eq!(next(&mut cursor), Some(offset));
        }
        assert_eq!(next(&mut cursor), None);
        cursor.rest().unwrap();
        assert!(matches!(
            cursor.next(Duration::ZERO).unwrap(),
            Found::Nothing
        ));
    });
    reader.await.unwrap();
    let ends = Ends::new(&more).unwrap();
    let future_ms = 4_000_000_000_000;
    let none = ends.since("t", future_ms, TIMEOUT).await.unwrap();
    assert_eq!(none[0].offset, COUNT);
    assert_eq!(ends.since("t", 0, TIMEOUT).await.unwrap()[0].offset, 0);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_looked_up_in_the_order_asked_for_and_missing_ones_are_none() {
    let (server, _dir, settings) = kafka().await;
    let lookup = Lookup::start(&settings, TIMEOUT, &Fetched::default()).unwrap();
    let place = |offset| Place {
        kafka_topic: "t".into(),
        partition: 0,
        offset,
    };
    let asked = [4000, 3, COUNT + 5, 3].map(place).to_vec();
    let (found, others) = tokio::join!(lookup.read(asked), lookup.read(vec![place(7)]));
    let offsets: Vec<_> = found
        .unwrap()
        .iter()
        .map(|record| record.as_ref().map(|record| record.offset))
        .collect();
    assert_eq!(offsets, [Some(4000), Some(3), None, Some(3)]);
    assert_eq!(others.unwrap()[0].as_ref().unwrap().offset, 7);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_says_how_far_it_is_before_and_after_each_record() {
    let (server, _dir, settings) = kafka().await;
    let (seen, mut offsets) = tokio::sync::mpsc::unbounded_channel();
    let on_record = move |record: kafka::Record| {
        // The test ends before the tail does.
        let _ended = seen.send(record.offset);
    };
    let tail = Tail::start(&settings, "tail", on_record, || {}).unwrap();
    assert!(tail.progress("t", |_| ()).is_none());
    tail.follow("t", None, Start::End).await.unwrap();
    let now = || {
        tail.progress("t", |all| {
            let first = all[0].as_ref().unwrap();
            (first.begun_record(), first.begun(), first.done())
        })
        .unwrap()
    };
    assert_eq!(now(), (None, COUNT, COUNT));
    write(&settings, COUNT..COUNT + 1).await;
    assert_eq!(offsets.recv().await, Some(COUNT));
    let target = kafka::Position {
        partition: 0,
        offset: COUNT + 1,
    };
    tail.reached("t", &[target]).await;
    assert_eq!(now(), (Some(COUNT + 1), COUNT + 1, COUNT + 1));
    tail.unfollow("t", None).await.unwrap();
    drop(tail);
    server.shutdown().await;
}

/// Partitions come and go with those who ask for them; one that goes on misses nothing by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_follows_the_partitions_that_are_asked_for() {
    const PARTITIONS: usize = 3;
    let (server, _dir, settings) = kafka().await;
    let topic = NewKafkaTopic::with_retention("p", PARTITIONS as i32, Duration::from_secs(3600));
    admin::ensure_topics(&settings, &[topic], TIMEOUT)
        .await
        .unwrap();
    let keys: Vec<String> = (0..PARTITIONS as i32)
        .map(|partition| {
            let mut names = (0..).map(|n: u32| format!("key-{n}"));
            let is_there = |key: &String| partition_of(key.as_bytes(), PARTITIONS) == partition;
            names.find(is_there).unwrap()
        })
        .collect();
    let (seen, mut records) = tokio::sync::mpsc::unbounded_channel();
    let on_record = move |record: kafka::Record| {
        // The test ends before the tail does.
        let _ended = seen.send(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
    };
    let tail = Tail::start(&settings, "tail", on_record, || {}).unwrap();
    let producer = Producer::new(&settings, 1 << 20).unwrap();
    let write = async |round: &str| {
        for (partition, key) in keys.iter().enumerate() {
            let value = format!("{round}{partition}");
            let record = ToSend {
                kafka_topic: "p",
                partition: None,
                key: Some(key.as_bytes()),
                value: Some(value.as_bytes()),
                headers: &[],
            };
            assert_eq!(
                producer.append(&record).await.unwrap().partition,
                partition as i32
            );
        }
        tail.reach_end("p").await.unwrap();
    };
    let mut expect = |expected: &[&str]| {
        let mut came = Vec::new();
        while let Ok(value) = records.try_recv() {
            came.push(value);
        }
        came.sort();
        assert_eq!(came, expected);
    };
    let followed = || {
        let there = |all: &[Option<Arc<kafka::Progress>>]| {
            all.iter().map(Option::is_some).collect::<Vec<_>>()
        };
        tail.progress("p", there)
    };
    let key = |partition: usize| Some(keys[partition].as_bytes());
    tail.follow("p", key(1), Start::End).await.unwrap();
    write("a").await;
    expect(&["a1"]);
    assert_eq!(followed(), Some(vec![false, true, false]));
    tail.follow("p", None, Start::End).await.unwrap();
    tail.follow("p", key(2), Start::End).await.unwrap();
    write("b").await;
    expect(&["b0", "b1", "b2"]);
    tail.unfollow("p", None).await.unwrap();
    write("c").await;
    expect(&["c1", "c2"]);
    tail.unfollow("p", key(1)).await.unwrap();
    tail.unfollow("p", key(2)).await.unwrap();
    assert_eq!(followed(), None);
    // Nobody has asked any more, which one more answer does not make wrong.
    tail.unfollow("p", key(2)).await.unwrap();
    tail.follow("p", key(2), Start::End).await.unwrap();
    write("d").await;
    expect(&["d2"]);
    drop(tail);
    server.shutdown().await;
}
