//! What must be true, told by those who see it: the clients and the log.

use std::collections::BTreeMap;

use mqtt::QoS;

use super::log::{Log, PARTITIONS, SESSION_PARTITIONS};
use super::run::COMPACTION_LAG_MS;
use crate::session_record::SessionRecord;

/// A client that is back so soon is in time for a will with a delay, though its node may have died some time before the
/// connection is found lost, and its last heartbeat may be older than the connection.
const SURELY_IN_TIME_MS: u64 = 2000;
/// How long it may take until a node knows that a connection is lost, or another that the node is dead.
const FOUND_LOST_MS: u64 = 9000;

/// A publisher's messages at one QoS, in their order.
type Line = (String, u8);

struct Sent {
    at: u64,
    is_acknowledged: bool,
    is_refused: bool,
}

/// A connection as its client saw it.
struct Connection {
    delay_ms: u64,
    tried_at: u64,
    admitted_at: Option<u64>,
    lost_at: Option<u64>,
    said_goodbye: bool,
}

#[derive(Default)]
pub(super) struct Model {
    sent: BTreeMap<Line, Vec<Sent>>,
    subscribed: BTreeMap<String, u64>,
    received: BTreeMap<(String, Line), Vec<u64>>,
    connections: BTreeMap<String, BTreeMap<u64, Connection>>,
    failure: Option<String>,
}

impl Model {
    pub(super) fn fails(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub(super) fn sent(&mut self, by: &str, qos: QoS, number: u64, at: u64) {
        let line = self.sent.entry((by.to_owned(), qos as u8)).or_default();
        assert_eq!(line.len() as u64, number, "a client counts its messages");
        line.push(Sent {
            at,
            is_acknowledged: false,
            is_refused: false,
        });
    }

    pub(super) fn answered(&mut self, by: &str, qos: QoS, number: u64, is_refused: bool) {
        let line = self.sent.get_mut(&(by.to_owned(), qos as u8));
        let sent = line.and_then(|line| line.get_mut(number as usize));
        if let Some(sent) = sent {
            sent.is_refused |= is_refused;
            sent.is_acknowledged |= !is_refused;
        }
    }

    pub(super) fn subscribed(&mut self, client: &str, at: u64) {
        self.subscribed.insert(client.to_owned(), at);
    }

    pub(super) fn received(&mut self, client: &str, payload: &[u8], qos: QoS) {
        let text = String::from_utf8_lossy(payload);
        let mut parts = text.split(' ');
        let (Some(by), Some(published), Some(Ok(number))) = (
            parts.next(),
            parts.next().and_then(|qos| qos.parse::<u8>().ok()),
            parts.next().map(str::parse::<u64>),
        ) else {
            return self.fails(format!("{client} got {text:?}"));
        };
        if published != qos as u8 {
            self.fails(format!("{client} got {text:?} at {qos:?}"));
        }
        let line = (by.to_owned(), published);
        let sent = self
            .sent
            .get(&line)
            .and_then(|all| all.get(number as usize));
        let since = self.subscribed.get(client).copied().unwrap_or(u64::MAX);
        // One that was sent before, and is sent again, has no place among those that came after.
        let has_place = sent.is_some_and(|sent| sent.at >= since);
        let before = self.received.entry((client.to_owned(), line)).or_default();
        let is_again = before.contains(&number);
        let is_late = before.iter().any(|earlier| *earlier > number);
        before.push(number);
        if is_again && qos == QoS::ExactlyOnce {
            self.fails(format!("{client} got {text:?} twice"));
        } else if is_late && !is_again && has_place {
            self.fails(format!("{client} got {text:?} after a later one"));
        }
    }

    pub(super) fn connects(&mut self, client: &str, number: u64, delay_ms: u64, at: u64) {
        let connection = Connection {
            delay_ms,
            tried_at: at,
            admitted_at: None,
            lost_at: None,
            said_goodbye: false,
        };
        let of_client = self.connections.entry(client.to_owned()).or_default();
        of_client.insert(number, connection);
    }

    pub(super) fn admitted(&mut self, client: &str, number: u64, is_present: bool, at: u64) {
        let of_client = self.connections.entry(client.to_owned()).or_default();
        let was_admitted = of_client.values().any(|known| known.admitted_at.is_some());
        if let Some(connection) = of_client.get_mut(&number) {
            connection.admitted_at = Some(at);
        }
        if was_admitted && !is_present {
            self.fails(format!("the session of {client} is lost"));
        }
    }

    pub(super) fn lost(&mut self, client: &str, number: u64, at: u64) {
        if let Some(connection) = self.connection(client, number) {
            connection.lost_at.get_or_insert(at);
        }
    }

    pub(super) fn disconnects(&mut self, client: &str, number: u64) {
        if let Some(connection) = self.connection(client, number) {
            connection.said_goodbye = true;
        }
    }

    fn connection(&mut self, client: &str, number: u64) -> Option<&mut Connection> {
        self.connections.get_mut(client)?.get_mut(&number)
    }

    /// What subscribers still miss of what was acknowledged after they had subscribed.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (client, since) in &self.subscribed {
            for (line, sent) in &self.sent {
                let received = self.received.get(&(client.clone(), line.clone()));
                let has = |number: u64| received.is_some_and(|all| all.contains(&number));
                for (number, sent) in (0..).zip(sent) {
                    if sent.is_acknowledged && sent.at >= *since && !has(number) {
                        missing.push(format!("{client} misses {line:?} {number}"));
                    }
                }
            }
        }
        missing
    }

    /// Whether the log has what was acknowledged, when no transaction is open.
    pub(super) fn check_messages(&mut self, log: &Log) {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for partition in SESSION_PARTITIONS..PARTITIONS {
            for record in log.all(partition) {
                let payload = record.value.as_deref().unwrap_or_default();
                let text = String::from_utf8_lossy(payload).into_owned();
                *counts.entry(text).or_default() += 1;
            }
        }
        let lines = std::mem::take(&mut self.sent);
        for ((by, qos), sent) in &lines {
            for (number, sent) in sent.iter().enumerate() {
                let text = format!("{by} {qos} {number}");
                let count = counts.get(&text).copied().unwrap_or(0);
                if *qos == QoS::ExactlyOnce as u8 && count > 1 {
                    self.fails(format!("{text:?} is in the log {count} times"));
                }
                if sent.is_acknowledged && count == 0 {
                    self.fails(format!("{text:?} is acknowledged and not in the log"));
                }
                if sent.is_refused && count > 0 {
                    self.fails(format!("{text:?} is refused and in the log"));
                }
            }
        }
        self.sent = lines;
    }

    /// Who writes a session's state is its newest owner. To be looked at before old records are removed, too.
    pub(super) fn check_epochs(&mut self, log: &Log) {
        let mut newest: BTreeMap<String, i64> = BTreeMap::new();
        for partition in 0..SESSION_PARTITIONS {
            for record in log.all(partition) {
                let key = record.key.as_deref().unwrap_or_default();
                let key = String::from_utf8_lossy(key).into_owned();
                let Some(value) = record.value.filter(|_| key.starts_with("session/")) else {
                    continue;
                };
                let Ok(session) = SessionRecord::read(&value) else {
                    self.fails(format!("not a session: {key}"));
                    continue;
                };
                let before = newest.insert(key.clone(), session.epoch);
                if before.is_some_and(|before| before > session.epoch) {
                    let epoch = session.epoch;
                    self.fails(format!(
                        "{key} was stored by epoch {epoch} after {before:?}"
                    ));
                }
            }
        }
    }

    /// The wills, when every client is gone for good and all delays are over.
    pub(super) fn check_wills(&mut self, log: &Log) {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for partition in SESSION_PARTITIONS..PARTITIONS {
            for record in log.all(partition) {
                if record
                    .key
                    .as_deref()
                    .is_some_and(|key| key.starts_with(b"w/"))
                {
                    let payload = record.value.as_deref().unwrap_or_default();
                    let text = String::from_utf8_lossy(payload).into_owned();
                    *counts.entry(text).or_default() += 1;
                }
            }
        }
        let mut failures = Vec::new();
        for (client, connections) in &self.connections {
            for (number, known) in connections {
                let count = counts.get(&format!("{client} {number}")).copied();
                let count = count.unwrap_or(0);
                let later = || connections.range(number + 1..).map(|(_, later)| later);
                let (low, high) = known.wills(later);
                if count < low || count > high {
                    failures.push(format!(
                        "the will of {client}'s connection {number} was published {count} times, not {low} to {high}"
                    ));
                }
            }
        }
        for failure in failures {
            self.fails(failure);
        }
    }
}

impl Connection {
    /// How often its will may have been published.
    fn wills<'a, I: Iterator<Item = &'a Connection>>(
        &self,
        later: impl Fn() -> I,
    ) -> (usize, usize) {
        let Some(admitted_at) = self.admitted_at.filter(|_| !self.said_goodbye) else {
            // A connection of which the client does not know how far it came.
            return (0, 1);
        };
        if self.delay_ms == 0 {
            return (1, 1);
        }
        let back_at = later().find_map(|next| next.admitted_at);
        if back_at.is_some_and(|back_at| back_at <= admitted_at + SURELY_IN_TIME_MS) {
            return (0, 0);
        }
        let lost_at = self.lost_at.unwrap_or(u64::MAX);
        let too_late = lost_at.saturating_add(self.delay_ms + FOUND_LOST_MS);
        // When its claim is compacted away before anybody could look after it, nobody knows when its node was lost.
        let forgotten = admitted_at + COMPACTION_LAG_MS;
        match later().next() {
            None => (1, 1),
            Some(next) if next.tried_at > too_late && next.tried_at < forgotten => (1, 1),
            Some(_) => (0, 1),
        }
    }
}
