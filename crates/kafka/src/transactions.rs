//! A transactional producer: what one call commits, Kafka stores together or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::producer::base_record;
use crate::{Error, NewRecord, Position, Settings};

/// How long one call into the client may take before it is asked again.
const CALL: Duration = Duration::from_secs(5);

/// A commit that takes so long may have been asked for twice. A guess: on a healthy cluster it takes some
/// tens of milliseconds; a node that crashed is missed for seconds.
const SUSPICIOUS: Duration = Duration::from_secs(2);

/// Commits groups of records, one group after the other. It blocks: it belongs on a thread of its own.
///
/// # In doubt
///
/// When the coordinator crashes or is cut off while it is asked to commit a transaction, the client asks again, and the
/// first request may still be on its way. In the protocol that librdkafka speaks, all transactions of a producer look the
/// same: the late request would commit the next one before it is complete (what [KIP-890] mends for clients that speak its
/// second part). So after such a commit [`Self::is_in_doubt`], and a new producer with the same identifier must go on: what
/// was meant for the old one means nothing any more. A late request to abort is harmless: the next transaction then fails
/// as a whole.
///
/// [KIP-890]: https://cwiki.apache.org/confluence/display/KAFKA/KIP-890%3A+Transactions+Server-Side+Defense
pub struct Transactions {
    producer: BaseProducer<Context>,
    is_in_doubt: bool,
}

/// Why a group was not committed; nothing of it is stored.
#[derive(Debug)]
pub enum Failed {
    /// There is a newer producer with the same identifier, or Kafka gave up on this one: it can do nothing any more.
    Fenced(Error),
    /// Kafka does not take the record with this index.
    Refused(usize, Error),
    /// Kafka did not answer in time, or has lost its place: the group may be committed again.
    Again(Error),
}

impl Transactions {
    /// A producer that ends what an earlier one with the same `id` has begun and not committed, and that one with it.
    /// Kafka itself ends a transaction after `timeout`.
    ///
    /// # Errors
    /// A user's setting that librdkafka does not take; a cluster that does not answer, or that has no transactions.
    pub fn start(settings: &Settings, id: &str, timeout: Duration) -> Result<Self, Error> {
        let timeout_ms = timeout.as_millis().to_string();
        let producer: BaseProducer<Context> = settings
            .client(&[
                ("transactional.id", id),
                ("transaction.timeout.ms", &timeout_ms),
                ("message.timeout.ms", &timeout_ms),
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("partitioner", "murmur2_random"),
                // The group is complete when it is given: nothing is gained by waiting for more.
                ("linger.ms", "0"),
                ("queue.buffering.max.messages", "1000000"),
            ])
            .create_with_context(Context::default())?;
        producer.init_transactions(timeout)?;
        Ok(Self {
            producer,
            is_in_doubt: false,
        })
    }

    /// Whether a new producer must take this one's place before the next group.
    pub fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Stores all `records` or none; returns where they are, in their order.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn commit(&mut self, records: &[&NewRecord]) -> Result<Vec<Position>, Failed> {
        self.commit_with(records, |_| Ok(()))
    }

    /// The same, with what a member of a group has read: `offsets` are of the next records that it wants. A member that
    /// is none any more, since others have its partitions, is refused.
    pub(crate) fn commit_read(
        &mut self,
        records: &[&NewRecord],
        offsets: &TopicPartitionList,
        member: &ConsumerGroupMetadata,
    ) -> Result<Vec<Position>, Failed> {
        self.commit_with(records, |producer| {
            loop {
                match producer.send_offsets_to_transaction(offsets, member, CALL) {
                    Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
                    result => return result,
                }
            }
        })
    }

    /// `also` is called when all records are stored and not committed.
    fn commit_with(
        &mut self,
        records: &[&NewRecord],
        also: impl Fn(&BaseProducer<Context>) -> KafkaResult<()>,
    ) -> Result<Vec<Position>, Failed> {
        if let Err(error) = self.producer.begin_transaction() {
            // It is not where it should be; if it can't be brought there, a new producer is needed.
            self.abort()?;
            return Err(Failed::Again(error.into()));
        }
        let answers: Arc<Answers> = Arc::new(Answers {
            left: Mutex::new(records.len()),
            all: records.iter().map(|_| Mutex::new(None)).collect(),
        });
        for (at, record) in records.iter().enumerate() {
            let opaque = Box::new(Answer(Arc::clone(&answers), at));
            let sent = record.with(|record| {
                let sent = self.producer.send(base_record(record, opaque));
                sent.map_err(|(error, _)| error)
            });
            if let Err(error) = sent {
                return Err(match self.abort() {
                    Ok(()) => Failed::Refused(at, error.into()),
                    Err(failed) => failed,
                });
            }
        }
        // The client's own flush waits for at least 100 ms; this one ends with the last answer.
        while *answers.left.lock() > 0 {
            self.producer.poll(Duration::from_millis(1));
        }
        if let Some((at, error)) = answers.first_refused() {
            self.abort()?;
            return Err(match error {
                Error::TooLarge => Failed::Refused(at, error),
                // Not this record's fault: the cluster is away, or the transaction was given up.
                _ => Failed::Again(error),
            });
        }
        if let Err(error) = also(&self.producer) {
            self.abort()?;
            return Err(Failed::Again(error.into()));
        }
        let ending = self.begin_commit();
        let result = self.commit_begun(&answers);
        self.is_in_doubt |= self.may_have_asked_twice(ending);
        result
    }

    fn commit_begun(&self, answers: &Answers) -> Result<Vec<Position>, Failed> {
        loop {
            match self.producer.commit_transaction(CALL) {
                Ok(()) => return Ok(answers.positions()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                    self.abort()?;
                    return Err(Failed::Again(KafkaError::Transaction(error).into()));
                }
                Err(error) => return Err(Failed::Fenced(error.into())),
            }
        }
    }

    /// Before a transaction is committed. What went wrong so far has nothing to do with it.
    fn begin_commit(&self) -> Instant {
        self.producer.poll(Duration::ZERO);
        let _before = self.troubled().swap(false, Ordering::Relaxed);
        Instant::now()
    }

    /// After a transaction was committed. The client says once in a while that a connection breaks, not every time: a long
    /// time says it as well.
    fn may_have_asked_twice(&self, began: Instant) -> bool {
        self.producer.poll(Duration::ZERO);
        self.troubled().load(Ordering::Relaxed) || began.elapsed() >= SUSPICIOUS
    }

    fn troubled(&self) -> &AtomicBool {
        &self.producer.context().troubled
    }

    fn abort(&self) -> Result<(), Failed> {
        loop {
            match self.producer.abort_transaction(CALL) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {
                    self.producer.poll(Duration::from_millis(1));
                }
                Err(error) => return Err(Failed::Fenced(error.into())),
            }
        }
    }
}

struct Answers {
    left: Mutex<usize>,
    all: Vec<Mutex<Option<Result<Position, Error>>>>,
}

struct Answer(Arc<Answers>, usize);

impl Answers {
    fn first_refused(&self) -> Option<(usize, Error)> {
        self.all.iter().enumerate().find_map(|(at, answer)| {
            let mut answer = answer.lock();
            match answer.take_if(|answer| answer.is_err()) {
                Some(Err(error)) => Some((at, error)),
                _ => None,
            }
        })
    }

    fn positions(&self) -> Vec<Position> {
        let stored = |answer: &Mutex<Option<Result<Position, Error>>>| match &*answer.lock() {
            Some(Ok(position)) => *position,
            _ => unreachable!("it is committed only when all are answered well"),
        };
        self.all.iter().map(stored).collect()
    }
}

#[derive(Default)]
struct Context {
    /// A connection broke, or was not answered.
    troubled: AtomicBool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::settings::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.troubled.store(true, Ordering::Relaxed);
        tracing::debug!(%error, reason, "kafka transactions");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Answer>;

    fn delivery(&self, result: &DeliveryResult<'_>, answer: Self::DeliveryOpaque) {
        let Answer(answers, at) = *answer;
        *answers.all[at].lock() = Some(match result {
            Ok(message) => Ok(Position {
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((error, _)) => Err(error.clone().into()),
        });
        *answers.left.lock() -= 1;
    }
}
