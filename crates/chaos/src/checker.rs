//! What was sent, what was acknowledged and what came, and which promises that breaks. It knows nothing of brokers: only
//! numbers that the clients saw.

use std::collections::BTreeMap;

use mqtt::QoS;

use crate::topology;

/// All of them, in the order of their numbers.
pub(crate) const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
/// Examples that are kept of each kind of incident, at each QoS.
const EXAMPLES_MAX: usize = 20;

/// Milliseconds since the run began.
pub(crate) type Millis = u64;

/// One message: its publisher, its QoS and its number in that sequence, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) publisher: usize,
    pub(crate) qos: QoS,
    pub(crate) number: u32,
}

/// Where and when a client saw something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: Millis,
    pub(crate) node: usize,
}

/// What became of a message on its way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) first: Place,
    pub(crate) acknowledged: Option<Place>,
}

/// What a subscriber has of one sequence.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// One bit a number.
    came: Vec<u64>,
    highest: u32,
}

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Acknowledged, and a subscriber never got it.
    Lost,
    /// A subscriber got it again, as a new message.
    Duplicated,
    /// It came, for the first time, after a later one.
    Reordered,
}

/// Something that happened to a message and should not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incident {
    pub(crate) kind: Kind,
    pub(crate) message: Message,
    pub(crate) subscriber: usize,
    /// Where it came to the subscriber; not for a lost one.
    pub(crate) came: Option<Place>,
    /// The highest number that the subscriber had by then.
    pub(crate) highest: u32,
}

impl Incident {
    /// Whether it breaks a promise: there is none at QoS 0, and at QoS 1 a message may come again.
    pub(crate) fn is_broken(&self) -> bool {
        match self.message.qos {
            QoS::AtMostOnce => false,
            QoS::AtLeastOnce => self.kind != Kind::Duplicated,
            QoS::ExactlyOnce => true,
        }
    }
}

/// Counts of one QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that were published.
    pub sent: u64,
    /// Those that were acknowledged to the end; at QoS 0, all.
    pub acknowledged: u64,
    /// Those that the broker refused.
    pub refused: u64,
    /// First deliveries.
    pub came: u64,
    /// Acknowledged, and missing at a subscriber.
    pub lost: u64,
    /// Deliveries of what had come before.
    pub duplicated: u64,
    /// First deliveries after a later number.
    pub reordered: u64,
}

#[derive(Debug)]
pub(crate) struct Checker {
    clients: usize,
    sent: Vec<[Vec<Sent>; 3]>,
    seen: BTreeMap<(usize, usize), [Seen; 3]>,
    tallies: [Tally; 3],
    examples: BTreeMap<(Kind, QoS), Vec<Incident>>,
    /// The longest time from a publish to its acknowledgement, and whose.
    pub(crate) longest_wait: (Millis, Option<Message>),
    /// Messages that nobody published, or not to this subscriber.
    pub(crate) foreign: u64,
    last_arrival: Millis,
}

impl Checker {
    pub(crate) fn new(clients: usize) -> Self {
        let views = (0..clients).flat_map(|subscriber| {
            topology::sources(subscriber, clients)
                .into_iter()
                .map(move |publisher| ((subscriber, publisher), Default::default()))
        });
        Self {
            clients,
            sent: vec![Default::default(); clients],
            seen: views.collect(),
            tallies: Default::default(),
            examples: BTreeMap::new(),
            longest_wait: (0, None),
            foreign: 0,
            last_arrival: 0,
        }
    }

    /// The next message of a sequence is about to be sent.
    pub(crate) fn send(&mut self, publisher: usize, qos: QoS, first: Place) -> Message {
        let sequence = &mut self.sent[publisher][qos as usize];
        sequence.push(Sent {
            first,
            acknowledged: None,
        });
        let number = sequence.len() as u32;
        self.tallies[qos as usize].sent += 1;
        Message {
            publisher,
            qos,
            number,
        }
    }

    pub(crate) fn acknowledge(&mut self, message: Message, at: Place) {
        let Message {
            publisher,
            qos,
            number,
        } = message;
        self.tallies[qos as usize].acknowledged += 1;
        let sent = &mut self.sent[publisher][qos as usize][number as usize - 1];
        sent.acknowledged = Some(at);
        let waited = at.at.saturating_sub(sent.first.at);
        if waited > self.longest_wait.0 {
            self.longest_wait = (waited, Some(message));
        }
    }

    pub(crate) fn refuse(&mut self, message: Message) {
        self.tallies[message.qos as usize].refused += 1;
    }

    /// A subscriber got a message which is new to its session.
    pub(crate) fn arrive(&mut self, subscriber: usize, message: Message, came: Place) {
        let Message {
            publisher,
            qos,
            number,
        } = message;
        let sequence = self.sent.get(publisher).map(|all| &all[qos as usize]);
        let is_known = sequence.is_some_and(|all| (1..=all.len()).contains(&(number as usize)));
        let Some(seen) = self
            .seen
            .get_mut(&(subscriber, publisher))
            .filter(|_| is_known)
        else {
            self.foreign += 1;
            return;
        };
        self.last_arrival = self.last_arrival.max(came.at);
        let seen = &mut seen[qos as usize];
        let highest = seen.highest;
        let is_first = seen.insert(number);
        let tally = &mut self.tallies[qos as usize];
        tally.came += u64::from(is_first);
        let kind = match is_first {
            false => Kind::Duplicated,
            true if number < highest => Kind::Reordered,
            true => return,
        };
        match kind {
            Kind::Duplicated => tally.duplicated += 1,
            _ => tally.reordered += 1,
        }
        self.example(Incident {
            kind,
            message,
            subscriber,
            came: Some(came),
            highest,
        });
    }

    fn example(&mut self, incident: Incident) {
        let key = (incident.kind, incident.message.qos);
        let examples = self.examples.entry(key).or_default();
        if examples.len() < EXAMPLES_MAX {
            examples.push(incident);
        }
    }

    /// What is acknowledged and has not come: to how many subscribers.
    pub(crate) fn missing(&self) -> u64 {
        self.each_missing().count() as u64
    }

    fn each_missing(&self) -> impl Iterator<Item = Incident> {
        self.seen
            .iter()
            .flat_map(move |(&(subscriber, publisher), all)| {
                [QoS::AtLeastOnce, QoS::ExactlyOnce]
                    .into_iter()
                    .flat_map(move |qos| {
                        let seen = &all[qos as usize];
                        (1..)
                            .zip(&self.sent[publisher][qos as usize])
                            .filter(|(number, sent)| {
                                sent.acknowledged.is_some() && !seen.contains(*number)
                            })
                            .map(move |(number, _)| Incident {
                                kind: Kind::Lost,
                                message: Message {
                                    publisher,
                                    qos,
                                    number,
                                },
                                subscriber,
                                came: None,
                                highest: seen.highest,
                            })
                    })
            })
    }

    /// Of those, the ones after which nothing else of their sequence came: a later one that came shows that an earlier one
    /// is lost or late.
    pub(crate) fn missing_at_the_end(&self) -> u64 {
        let at_the_end = |incident: &Incident| incident.message.number > incident.highest;
        self.each_missing().filter(at_the_end).count() as u64
    }

    /// How many messages are acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.acknowledged).sum()
    }

    /// When the newest message came to anybody.
    pub(crate) fn last_arrival(&self) -> Millis {
        self.last_arrival
    }

    pub(crate) fn sent(&self, message: Message) -> Sent {
        self.sent[message.publisher][message.qos as usize][message.number as usize - 1]
    }

    /// Memory of what it knows, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let sent: usize = self.sent.iter().flatten().map(Vec::capacity).sum();
        let seen = self.seen.values().flatten();
        let bits: usize = seen.map(|seen| seen.came.capacity()).sum();
        sent * size_of::<Sent>() + bits * size_of::<u64>()
    }

    /// The end: what has not come is lost. Counts by QoS, and examples of broken promises.
    pub(crate) fn verdict(&mut self) -> ([Tally; 3], Vec<Incident>) {
        let lost: Vec<Incident> = self.each_missing().collect();
        let mut tallies = self.tallies;
        for incident in lost {
            tallies[incident.message.qos as usize].lost += 1;
            self.example(incident);
        }
        let of_0 = &mut tallies[0];
        // Each message has as many subscribers as each subscriber has sources.
        let wanted = of_0.sent * topology::sources(0, self.clients).len() as u64;
        of_0.acknowledged = of_0.sent;
        of_0.lost = wanted - of_0.came;
        let examples = self.examples.values().flatten().copied();
        (tallies, examples.filter(Incident::is_broken).collect())
    }
}

impl Seen {
    /// Whether it was new.
    fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, number % 64);
        if self.came.len() <= word {
            self.came.resize(word + 1, 0);
        }
        let is_new = self.came[word] & (1 << bit) == 0;
        self.came[word] |= 1 << bit;
        self.highest = self.highest.max(number);
        is_new
    }

    fn contains(&self, number: u32) -> bool {
        let word = self.came.get(number as usize / 64).copied();
        word.unwrap_or_default() & (1 << (number % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Client 0 publishes five messages, four of them acknowledged; client 2 gets all, client 1 what `came` says.
    fn tally_of(qos: QoS, came: &[u32]) -> Tally {
        let mut checker = Checker::new(3);
        let place = Place::default();
        for number in 1..=5 {
            let message = checker.send(0, qos, place);
            assert_eq!(message.number, number);
            if number < 5 && qos > QoS::AtMostOnce {
                checker.acknowledge(message, place);
            }
            checker.arrive(2, message, place);
        }
        for number in came {
            let message = Message {
                publisher: 0,
                qos,
                number: *number,
            };
            checker.arrive(1, message, place);
        }
        let (tallies, examples) = checker.verdict();
        let tally = tallies[qos as usize];
        let broken = match qos {
            QoS::AtMostOnce => 0,
            QoS::AtLeastOnce => tally.lost + tally.reordered,
            QoS::ExactlyOnce => tally.lost + tally.reordered + tally.duplicated,
        };
        assert_eq!(examples.len() as u64, broken);
        tally
    }

    #[test]
    fn lost_duplicated_and_reordered_are_told_apart() {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for (came, lost, duplicated, reordered) in [
                (&[1, 2, 3, 4, 5][..], 0, 0, 0),
                // The fifth was not acknowledged.
                (&[1, 2, 3, 4], 0, 0, 0),
                (&[1, 2, 4, 5], 1, 0, 0),
                (&[1, 2, 3, 1, 2, 3, 4], 0, 3, 0),
                (&[1, 3, 2, 4], 0, 0, 1),
                (&[2, 3, 2, 4], 1, 1, 0),
                (&[], 4, 0, 0),
            ] {
                let tally = tally_of(qos, came);
                let counts = (tally.lost, tally.duplicated, tally.reordered);
                assert_eq!(counts, (lost, duplicated, reordered), "{came:?}");
                assert_eq!((tally.sent, tally.acknowledged), (5, 4));
            }
        }
        assert_eq!(tally_of(QoS::AtMostOnce, &[2, 3]).lost, 3);
    }

    #[test]
    fn what_nobody_published_is_foreign() {
        let mut checker = Checker::new(3);
        let message = checker.send(0, QoS::AtLeastOnce, Place::default());
        for (subscriber, number) in [(1, 2), (1, 0), (0, 1)] {
            let message = Message { number, ..message };
            checker.arrive(subscriber, message, Place::default());
        }
        assert_eq!(checker.foreign, 3);
    }
}
