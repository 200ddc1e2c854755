//! Publishers and subscribers at all QoS, and what must hold of what they saw.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mqtt::QoS;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::publisher::{Published, Publisher};
use crate::subscriber::{Received, Subscriber};

const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
/// Publishers, each with its topic, at each QoS.
const PUBLISHERS: usize = 3;
/// How long what must come may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Load {
    publishers: Vec<JoinHandle<Published>>,
    subscribers: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    received: Received,
    lost: Arc<AtomicU32>,
}

impl Load {
    pub(crate) async fn start(addr: SocketAddr) -> Self {
        let (stop, stopped) = watch::channel(false);
        let received = Received::default();
        let lost = Arc::new(AtomicU32::new(0));
        let mut subscribers = Vec::new();
        let mut publishers = Vec::new();
        for qos in ALL_QOS {
            let filter = format!("q{}/#", qos as u8);
            let (received, lost) = (Arc::clone(&received), Arc::clone(&lost));
            let (subscriber, wire) = Subscriber::start(addr, filter, qos, received, lost).await;
            subscribers.push(tokio::spawn(subscriber.run(wire)));
        }
        for qos in ALL_QOS {
            for number in 0..PUBLISHERS {
                let publisher = Publisher::new(format!("q{}/{number}", qos as u8), qos);
                publishers.push(tokio::spawn(publisher.run(addr, stopped.clone())));
            }
        }
        Self {
            publishers,
            subscribers,
            stop,
            received,
            lost,
        }
    }

    /// Waits until `count` more messages have come at each QoS.
    pub(crate) async fn progress(&self, count: usize) {
        let before = self.counts();
        self.until(&format!("{count} more than {before:?}"), || {
            let now = self.counts();
            (0..3).all(|qos| now[qos] >= before[qos] + count)
        })
        .await;
    }

    /// Messages that have come, by QoS.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let received = self.received.lock();
        ALL_QOS.map(|qos| {
            let of_qos = received.iter().filter(|(topic, _)| is_of(topic, qos));
            of_qos.map(|(_, numbers)| numbers.len()).sum()
        })
    }

    /// How often a subscriber has lost its connection.
    pub(crate) fn subscribers_lost(&self) -> u32 {
        self.lost.load(Ordering::Relaxed)
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            let has_failed = self.subscribers.iter().any(JoinHandle::is_finished);
            assert!(!has_failed, "a subscriber has failed: see above");
            assert!(Instant::now() < deadline, "{what}: {:?}", self.counts());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the publishers, waits for their last acknowledgements and for what is acknowledged to arrive; checks that
    /// nothing is missing or out of order. What may come again is for the caller to say.
    pub(crate) async fn finish(mut self) -> Outcome {
        self.stop.send(true).unwrap();
        let mut published = Vec::new();
        for publisher in std::mem::take(&mut self.publishers) {
            let result = tokio::time::timeout(PATIENCE, publisher).await;
            published.push(result.expect("the last acknowledgements come").unwrap());
        }
        let mut outcome = Outcome {
            publishers_lost: published.iter().map(|p| p.lost).sum(),
            ..Outcome::default()
        };
        for Published {
            topic, qos, sent, ..
        } in &published
        {
            if *qos > QoS::AtMostOnce {
                self.until(&format!("{topic} up to {sent}"), || {
                    self.received
                        .lock()
                        .get(topic)
                        .is_some_and(|all| all.contains(sent))
                })
                .await;
            }
        }
        outcome.subscribers_lost = self.subscribers_lost();
        self.subscribers.iter().for_each(JoinHandle::abort);
        let received = self.received.lock();
        for one in &published {
            let numbers = received.get(&one.topic).map_or(&[][..], |all| all);
            outcome.add(one, numbers);
        }
        outcome
    }
}

fn is_of(topic: &str, qos: QoS) -> bool {
    topic.starts_with(&format!("q{}/", qos as u8))
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) publishers_lost: u32,
    pub(crate) subscribers_lost: u32,
    /// Messages by QoS.
    pub(crate) sent: [u32; 3],
    /// Those that came, each once.
    pub(crate) came: [u32; 3],
    /// Those that came again.
    pub(crate) again: [u32; 3],
    /// Numbers of messages by topic, for who wants to compare them with the log.
    pub(crate) by_topic: BTreeMap<String, u32>,
}

impl Outcome {
    fn add(&mut self, published: &Published, numbers: &[u32]) {
        let Published {
            topic, qos, sent, ..
        } = published;
        let mut first = Vec::new();
        for number in numbers {
            if first.last().is_none_or(|last| number > last) {
                first.push(*number);
            } else {
                let known = first.binary_search(number).is_ok();
                assert!(known, "{topic}: {number} comes after {:?}", first.last());
                self.again[*qos as usize] += 1;
            }
        }
        if *qos > QoS::AtMostOnce {
            let missing: Vec<u32> = (1..=*sent)
                .filter(|n| first.binary_search(n).is_err())
                .collect();
            assert_eq!(missing, Vec::<u32>::new(), "{topic}: acknowledged and lost");
        }
        let qos = *qos as usize;
        self.sent[qos] += sent;
        self.came[qos] += first.len() as u32;
        self.by_topic.insert(topic.clone(), *sent);
    }
}
