//! The load: many publishers at a rate, publishers as fast as they are acknowledged, and a subscriber that keeps account.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use mqtt::QoS;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client::{Client, Message, Options, Stamp};

/// When nothing more has come for so long, nothing more comes.
const SILENCE: Duration = Duration::from_secs(5);
/// A PUBACK of version 3.1.1.
const PUBACK_BYTES: u64 = 4;

/// Waits until `count` is at least `wanted`, or has not moved for a while; returns it.
pub(crate) async fn settled(count: &AtomicU64, wanted: u64) -> u64 {
    let (mut last, mut since) = (count.load(Ordering::Relaxed), Instant::now());
    while last < wanted && since.elapsed() < SILENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = count.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

/// Calls `act` at `per_second` evenly, `total` times; it gets the number of the call. Late calls are made up for.
pub(crate) async fn paced(
    per_second: f64,
    total: u64,
    mut act: impl AsyncFnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let start = Instant::now();
    let mut done = 0;
    while done < total {
        tick.tick().await;
        let due = (start.elapsed().as_secs_f64() * per_second) as u64;
        while done < due.min(total) {
            act(done).await?;
            done += 1;
        }
    }
    Ok(())
}

/// Many publishers, each with its own topic, that one task serves: each sends in its turn.
pub(crate) struct Fleet {
    publishers: Vec<(OwnedWriteHalf, Message)>,
    qos: QoS,
    sent: u64,
    acknowledged: Arc<AtomicU64>,
    epoch: Instant,
    _readers: JoinSet<()>,
}

impl Fleet {
    /// Connects them; publisher N publishes to `prefix/N`.
    pub(crate) async fn connect(
        addr: SocketAddr,
        prefix: &str,
        count: usize,
        qos: QoS,
        payload_bytes: usize,
        epoch: Instant,
    ) -> anyhow::Result<Self> {
        let clients = Client::connect_many(addr, prefix, count, Options::default()).await?;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut readers = JoinSet::new();
        let mut publishers = Vec::with_capacity(count);
        for (at, client) in clients.into_iter().enumerate() {
            let (reading, writing) = client.stream.into_split();
            let acknowledged = Arc::clone(&acknowledged);
            readers.spawn(async move {
                // Nothing but PUBACKs comes, so counting their bytes is enough.
                while reading.readable().await.is_ok() {
                    let mut bytes = [0; 1024];
                    match reading.try_read(&mut bytes) {
                        Ok(0) => return,
                        Ok(count) => {
                            acknowledged.fetch_add(count as u64, Ordering::Relaxed);
                        }
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
            });
            let topic = format!("{prefix}/{at}");
            publishers.push((writing, Message::new(&topic, qos, false, payload_bytes)?));
        }
        Ok(Self {
            publishers,
            qos,
            sent: 0,
            acknowledged,
            epoch,
            _readers: readers,
        })
    }

    /// Publishes `total` messages at `per_second` over all publishers, in turn.
    pub(crate) async fn publish(&mut self, per_second: f64, total: u64) -> anyhow::Result<()> {
        paced(per_second, total, async |_| self.publish_next().await).await
    }

    async fn publish_next(&mut self) -> anyhow::Result<()> {
        let count = self.publishers.len() as u64;
        let (at, sequence) = (self.sent % count, self.sent / count);
        let stamp = Stamp {
            publisher: at as u32,
            sequence: sequence as u32,
            sent_ns: self.epoch.elapsed().as_nanos() as u64,
        };
        let (stream, message) = &mut self.publishers[at as usize];
        let written = stream.write_all(message.stamped(stamp)).await;
        self.sent += 1;
        written.with_context(|| format!("publisher {at} lost its connection"))
    }

    /// Messages that the publishers have sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Waits until all that was sent at QoS 1 is acknowledged.
    ///
    /// # Errors
    /// When acknowledgements are missing and none come any more.
    pub(crate) async fn all_acknowledged(&self) -> anyhow::Result<()> {
        if self.qos == QoS::AtMostOnce {
            return Ok(());
        }
        let wanted = self.sent * PUBACK_BYTES;
        let got = settled(&self.acknowledged, wanted).await;
        if got != wanted {
            bail!(
                "{} of {} publishes were acknowledged",
                got / PUBACK_BYTES,
                self.sent
            );
        }
        Ok(())
    }
}

/// What publishers that go as fast as they are acknowledged have done.
pub(crate) struct Saturated {
    /// Acknowledged messages of each publisher: its sequence numbers below this.
    pub(crate) acknowledged: Vec<u32>,
    pub(crate) took: Duration,
}

impl Saturated {
    pub(crate) fn total(&self) -> u64 {
        self.acknowledged
            .iter()
            .map(|count| u64::from(*count))
            .sum()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.total() as f64 / self.took.as_secs_f64()
    }
}

/// `count` publishers at QoS 1, each with at most `window` publishes that wait for their acknowledgement.
pub(crate) async fn saturate(
    addr: SocketAddr,
    prefix: &str,
    (count, window): (usize, usize),
    payload_bytes: usize,
    time: Duration,
    epoch: Instant,
) -> anyhow::Result<Saturated> {
    let clients = Client::connect_many(addr, prefix, count, Options::default()).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for (at, client) in clients.into_iter().enumerate() {
        let message = Message::new(
            &format!("{prefix}/{at}"),
            QoS::AtLeastOnce,
            false,
            payload_bytes,
        )?;
        let stop = Arc::clone(&stop);
        tasks.spawn(async move {
            let result =
                publish_in_window(client, message, at as u32, window as u32, &stop, epoch).await;
            result.map(|acknowledged| (at, acknowledged))
        });
    }
    let start = Instant::now();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = vec![0; count];
    while let Some(done) = tasks.join_next().await {
        let (at, count) = done??;
        acknowledged[at] = count;
    }
    Ok(Saturated {
        acknowledged,
        took: start.elapsed(),
    })
}

async fn publish_in_window(
    mut client: Client,
    mut message: Message,
    publisher: u32,
    window: u32,
    stop: &AtomicBool,
    epoch: Instant,
) -> anyhow::Result<u32> {
    let (mut sent, mut acknowledged) = (0, 0);
    let mut out = Vec::new();
    loop {
        while !stop.load(Ordering::Relaxed) && sent < acknowledged + window {
            let stamp = Stamp {
                publisher,
                sequence: sent,
                sent_ns: epoch.elapsed().as_nanos() as u64,
            };
            out.extend_from_slice(message.stamped(stamp));
            sent += 1;
        }
        if sent == acknowledged {
            return Ok(acknowledged);
        }
        client.stream.write_all(&out).await?;
        out.clear();
        let Some(_ack) = client.next().await? else {
            bail!("the server closed the connection of publisher {publisher}");
        };
        acknowledged += 1;
        while client.buffered()?.is_some() {
            acknowledged += 1;
        }
    }
}

/// What a subscriber got.
pub(crate) struct Account {
    /// By publisher and sequence number: how often it came.
    seen: Vec<Vec<u8>>,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    /// From sending to receiving, in microseconds.
    pub(crate) latency_us: Histogram<u64>,
    /// It ended before it was told to.
    pub(crate) was_closed: bool,
}

impl Account {
    fn new(publishers: usize) -> anyhow::Result<Self> {
        Ok(Self {
            seen: vec![Vec::new(); publishers],
            duplicates: 0,
            out_of_order: 0,
            latency_us: microseconds()?,
            was_closed: false,
        })
    }

    fn enter(&mut self, stamp: Stamp, now_ns: u64) {
        let Some(seen) = self.seen.get_mut(stamp.publisher as usize) else {
            return;
        };
        let at = stamp.sequence as usize;
        if at < seen.len() {
            if seen[at] == 0 {
                self.out_of_order += 1;
            } else {
                self.duplicates += 1;
            }
        } else {
            seen.resize(at + 1, 0);
        }
        seen[at] = 1;
        self.latency_us
            .saturating_record(now_ns.saturating_sub(stamp.sent_ns) / 1000);
    }

    /// How many of the messages below these sequence numbers did not come.
    pub(crate) fn missing(&self, sent: &[u32]) -> u64 {
        let came = |seen: &[u8], sent: u32| {
            let seen = seen.iter().take(sent as usize);
            seen.filter(|count| **count > 0).count() as u64
        };
        let by_publisher = self.seen.iter().zip(sent);
        by_publisher
            .map(|(seen, sent)| u64::from(*sent) - came(seen, *sent))
            .sum()
    }
}

/// Microseconds up to a minute, to three digits.
pub(crate) fn microseconds() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(60_000_000, 3)?)
}

/// A subscriber in a task of its own.
pub(crate) struct Subscriber {
    received: Arc<AtomicU64>,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<anyhow::Result<Account>>,
}

impl Subscriber {
    pub(crate) async fn start(
        addr: SocketAddr,
        filter: &str,
        qos: QoS,
        publishers: usize,
        epoch: Instant,
    ) -> anyhow::Result<Self> {
        let mut client = Client::connect(addr, "subscriber", Options::default()).await?;
        client.subscribe(filter, qos).await?;
        let received = Arc::new(AtomicU64::new(0));
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let mut account = Account::new(publishers)?;
        let count = Arc::clone(&received);
        let task = tokio::spawn(async move {
            let taking = client.take(|publish| {
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(stamp) = Stamp::read(&publish.payload) {
                    account.enter(stamp, epoch.elapsed().as_nanos() as u64);
                }
            });
            let ended = tokio::select! {
                _ = &mut stopped => None,
                ended = taking => Some(ended),
            };
            account.was_closed = ended.is_some();
            Ok(account)
        });
        Ok(Self {
            received,
            stop,
            task,
        })
    }

    /// Waits until `wanted` messages came, or none come any more.
    pub(crate) async fn settled(&self, wanted: u64) -> u64 {
        settled(&self.received, wanted).await
    }

    pub(crate) async fn finish(self) -> anyhow::Result<Account> {
        // It may have ended already, which its account says.
        let _ended = self.stop.send(());
        self.task.await?
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_account_tells_lost_repeated_and_late_messages_apart() {
        let mut account = Account::new(2).unwrap();
        let mut enter = |publisher, sequence| {
            let stamp = Stamp {
                publisher,
                sequence,
                sent_ns: 0,
            };
            account.enter(stamp, 1000);
        };
        for sequence in [0, 1, 3, 2, 3, 5] {
            enter(0, sequence);
        }
        enter(1, 0);
        assert_eq!((account.duplicates, account.out_of_order), (1, 1));
        // Of the first, 4 is missing and 6 was never acknowledged; of the second, 1 and 2.
        assert_eq!(account.missing(&[6, 3]), 3);
    }

    #[tokio::test]
    async fn pacing_makes_all_calls_in_order() {
        let mut calls = Vec::new();
        // A rate at which all are due at the first tick.
        paced(1e12, 5, async |at| {
            calls.push(at);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(calls, [0, 1, 2, 3, 4]);
    }
}
