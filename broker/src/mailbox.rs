//! What other threads have for one connection: answers from Kafka, messages, an order to close.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt::session::{Delivery, Token};
use mqtt::{QoS, ReasonCode};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::metrics::Metrics;

/// Kafka's answer about one message.
pub(crate) type Appended = Result<(), ReasonCode>;

/// The mailbox of one connection. Its messages are bounded: beyond, QoS 0 is dropped and counted; QoS 1 and 2 end the
/// connection, so that nothing is lost silently.
pub(crate) struct Mailbox {
    inner: Mutex<Contents>,
    bell: Notify,
    messages_max: usize,
    metrics: Arc<Metrics>,
}

/// What the driver takes out at once.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) appended: Vec<(Token, Appended)>,
    /// The retained record that the connection waits for is stored, or is not.
    pub(crate) retained_stored: Option<Appended>,
    pub(crate) deliveries: VecDeque<Delivery>,
    pub(crate) close: Option<ReasonCode>,
}

impl Mailbox {
    pub(crate) fn new(messages_max: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            inner: Mutex::default(),
            bell: Notify::new(),
            messages_max,
            metrics,
        }
    }

    /// Kafka has answered about a publish.
    pub(crate) fn appended(&self, token: Token, result: Appended) {
        self.inner.lock().appended.push((token, result));
        self.bell.notify_one();
    }

    /// Kafka has answered about a retained record.
    pub(crate) fn retained_stored(&self, result: Appended) {
        self.inner.lock().retained_stored = Some(result);
        self.bell.notify_one();
    }

    /// A message for the client.
    pub(crate) fn deliver(&self, delivery: Delivery) {
        let mut inner = self.inner.lock();
        if inner.close.is_some() {
            return;
        }
        if inner.deliveries.len() < self.messages_max {
            inner.deliveries.push_back(delivery);
        } else if delivery.qos == QoS::AtMostOnce {
            self.metrics.dropped("slow_consumer", 1);
            return;
        } else {
            inner.close = Some(ReasonCode::QUOTA_EXCEEDED);
            inner.deliveries.clear();
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// The connection shall end.
    pub(crate) fn close(&self, reason: ReasonCode) {
        self.inner.lock().close.get_or_insert(reason);
        self.bell.notify_one();
    }

    /// Takes everything but the messages; those only when `with_deliveries`, so that what the driver has not worked off
    /// stays counted here.
    pub(crate) fn take(&self, with_deliveries: bool) -> Contents {
        let mut inner = self.inner.lock();
        let mut taken = std::mem::take(&mut *inner);
        inner.close = taken.close;
        if !with_deliveries {
            inner.deliveries = std::mem::take(&mut taken.deliveries);
        }
        taken
    }

    /// Waits until something is there.
    pub(crate) async fn bell(&self) {
        self.bell.notified().await;
    }
}
