//! Where a topic ends.

use std::time::Duration;

use kafka::admin::{self, NewKafkaTopic};
use kafka::{Bounds, Ends, Error, Producer, Settings, ToSend};

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn ends_move_with_each_record_and_an_unknown_topic_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let server = embedded_kafka::Server::start(embedded_kafka::Config::new(dir.path()))
        .await
        .unwrap();
    let settings = Settings::new(server.bootstrap_servers());
    let topic = NewKafkaTopic::with_retention("positions", 2, Duration::from_secs(3600));
    admin::ensure_topics(&settings, &[topic], TIMEOUT)
        .await
        .unwrap();
    let ends = Ends::new(&settings).unwrap();
    let empty = [0, 1].map(|partition| Bounds {
        partition,
        first: 0,
        end: 0,
    });
    assert_eq!(ends.of("positions", TIMEOUT).await.unwrap(), empty);

    let producer = Producer::new(&settings, 1024 * 1024).unwrap();
    for _ in 0..3 {
        let record = ToSend {
            kafka_topic: "positions",
            partition: None,
            key: Some(b"T1A23"),
            value: Some(b"{}"),
            headers: &[],
        };
        assert!(producer.send(&record, None).is_ok());
    }
    producer.flush(TIMEOUT).await.unwrap();
    let mut found = ends.of("positions", TIMEOUT).await.unwrap();
    found.sort_by_key(|bounds| bounds.end);
    assert_eq!((found[0].end, found[1].end, found[1].first), (0, 3, 0));

    let unknown = ends.of("nothing", TIMEOUT).await;
    assert!(
        matches!(&unknown, Err(Error::NoTopic(name)) if name == "nothing"),
        "{unknown:?}"
    );
    server.shutdown().await;
}
