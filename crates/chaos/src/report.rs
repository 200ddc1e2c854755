//! What came out, for people: counts, broken promises, and what to know to find out why.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::checker::{ALL_QOS, Incident, Kind, Message, Millis, Place, Tally};
use crate::client::WINDOW;
use crate::log::{Inner, Log, broker, seconds};
use crate::run::Options;
use crate::stored::Places;
use crate::wire::PACKET_BYTES_MAX;

/// Faults and events so long before and after an incident are shown with it.
const AROUND: Millis = 3000;
/// Incidents of each kind and QoS that are shown whole.
const SHOWN_MAX: usize = 5;

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Counts by QoS.
    pub tallies: [Tally; 3],
    broken: Vec<String>,
    text: String,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        log: &Log,
        tallies: [Tally; 3],
        incidents: &[Incident],
        stored: &anyhow::Result<Places>,
    ) -> Self {
        let inner = log.lock();
        let broken = broken(&inner, &tallies);
        let mut text = String::new();
        let written = Writer {
            options,
            inner: &inner,
            stored,
            out: &mut text,
        }
        .all(&tallies, incidents);
        written.expect("a string takes all");
        Self {
            tallies,
            broken,
            text,
        }
    }

    /// The promises that were broken, one line each; none when all is well.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.broken.is_empty() {
            return writeln!(f, "every promise held");
        }
        for line in &self.broken {
            writeln!(f, "BROKEN: {line}")?;
        }
        Ok(())
    }
}

/// QoS 0 promises nothing; at QoS 1 a message may come again.
fn broken(inner: &Inner, tallies: &[Tally; 3]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut check = |count: u64, what: &str| {
        if count > 0 {
            broken.push(format!("{count} {what}"));
        }
    };
    for qos in [1, 2] {
        let tally = tallies[qos];
        check(tally.lost, &format!("acknowledged and lost at QoS {qos}"));
        check(tally.reordered, &format!("out of order at QoS {qos}"));
    }
    check(tallies[2].duplicated, "duplicates at QoS 2");
    check(inner.sessions_lost.count, "sessions lost");
    check(inner.checker.foreign, "messages that nobody published");
    check(inner.violations.count, "packets that are not right");
    check(inner.crashes.count, "crashes of brokers");
    let in_flight: usize = inner.clients.iter().map(|client| client.in_flight).sum();
    check(in_flight as u64, "publishes never acknowledged");
    broken
}

struct Writer<'a> {
    options: &'a Options,
    inner: &'a Inner,
    stored: &'a anyhow::Result<Places>,
    out: &'a mut dyn fmt::Write,
}

impl Writer<'_> {
    fn all(mut self, tallies: &[Tally; 3], incidents: &[Incident]) -> fmt::Result {
        self.head()?;
        self.faults()?;
        self.tallies(tallies)?;
        self.service()?;
        self.memory()?;
        for (name, notes) in [
            ("sessions lost", &self.inner.sessions_lost),
            ("packets that are not right", &self.inner.violations),
            ("crashes", &self.inner.crashes),
        ] {
            writeln!(self.out, "{name}: {}", notes.count)?;
            for note in &notes.first {
                writeln!(self.out, "  {note}")?;
            }
        }
        self.incidents(incidents)
    }

    fn head(&mut self) -> fmt::Result {
        let Options {
            seed,
            brokers,
            clients,
            faults_for,
            ..
        } = self.options;
        writeln!(
            self.out,
            "seed {seed}: {brokers} brokers, 3 kafka nodes, {clients} clients, {} s of faults",
            faults_for.as_secs()
        )
    }

    /// How many of each kind.
    fn faults(&mut self) -> fmt::Result {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for fault in &self.inner.faults {
            let whose = fault.target.to_string();
            let (whose, _) = whose.split_once('-').unwrap_or((&whose, ""));
            let what = fault.what.split(" of ").next().unwrap_or_default();
            *counts.entry(format!("{whose} {what}")).or_default() += 1;
        }
        let counts: Vec<String> = counts
            .iter()
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        writeln!(self.out, "faults: {}", counts.join(", "))
    }

    fn tallies(&mut self, tallies: &[Tally; 3]) -> fmt::Result {
        writeln!(
            self.out,
            "QoS {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "sent", "acked", "refused", "came", "lost", "dup", "reordered"
        )?;
        for (qos, tally) in tallies.iter().enumerate() {
            writeln!(
                self.out,
                "{qos:>3} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
                tally.sent,
                tally.acknowledged,
                tally.refused,
                tally.came,
                tally.lost,
                tally.duplicated,
                tally.reordered
            )?;
        }
        writeln!(self.out, "(each message has two subscribers)")
    }

    fn service(&mut self) -> fmt::Result {
        let reasons: Vec<String> = self
            .inner
            .reasons
            .iter()
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        writeln!(self.out, "connections lost: {}", reasons.join(", "))?;
        let clients = self.inner.clients.iter().enumerate();
        let longest = clients.max_by_key(|(_, client)| client.longest_gap);
        if let Some((client, of_client)) = longest {
            let (gap, at) = of_client.longest_gap;
            writeln!(
                self.out,
                "longest time without service: {:.1} s, client {client} until {}",
                gap.as_secs_f64(),
                seconds(at).trim_start()
            )?;
        }
        if let (wait, Some(message)) = self.inner.checker.longest_wait {
            let first = self.inner.checker.sent(message).first;
            writeln!(
                self.out,
                "longest wait for an acknowledgement: {:.1} s, client {} from {}",
                Duration::from_millis(wait).as_secs_f64(),
                message.publisher,
                seconds(first.at).trim_start()
            )?;
        }
        Ok(())
    }

    fn memory(&mut self) -> fmt::Result {
        let clients = self.options.clients * PACKET_BYTES_MAX;
        writeln!(
            self.out,
            "memory of the clients: {WINDOW} publishes on their way and one packet each, {} MiB at most; of the checker: {:.1} MiB; of this process at most: {}",
            clients >> 20,
            self.inner.checker.bytes() as f64 / f64::from(1 << 20),
            peak_memory().unwrap_or_else(|| "unknown".to_owned())
        )
    }

    fn incidents(&mut self, incidents: &[Incident]) -> fmt::Result {
        for kind in [Kind::Lost, Kind::Duplicated, Kind::Reordered] {
            for qos in ALL_QOS {
                let these = incidents
                    .iter()
                    .filter(|one| (one.kind, one.message.qos) == (kind, qos));
                for (at, one) in these.enumerate() {
                    self.incident(one, at < SHOWN_MAX)?;
                }
            }
        }
        Ok(())
    }

    /// Where Kafka has a message.
    fn stored(&mut self, message: Message) -> fmt::Result {
        match self.stored {
            Err(error) => writeln!(self.out, "    in kafka: unknown, {error:#}"),
            Ok(places) => match places.get(&message) {
                None => writeln!(self.out, "    in kafka: nowhere"),
                Some(places) => writeln!(self.out, "    in kafka: {}", places.join(", ")),
            },
        }
    }

    fn incident(&mut self, incident: &Incident, whole: bool) -> fmt::Result {
        let message = incident.message;
        let sent = self.inner.checker.sent(message);
        write!(
            self.out,
            "{:?} QoS {}: publisher {} number {} to subscriber {}; sent {}",
            incident.kind,
            message.qos as u8,
            message.publisher,
            message.number,
            incident.subscriber,
            place(sent.first)
        )?;
        for (what, when) in [("acknowledged", sent.acknowledged), ("came", incident.came)] {
            if let Some(when) = when {
                write!(self.out, ", {what} {}", place(when))?;
            }
        }
        writeln!(self.out, "; highest number there {}", incident.highest)?;
        self.stored(message)?;
        if !whole {
            return Ok(());
        }
        let times = [Some(sent.first), sent.acknowledged, incident.came];
        let times = || times.into_iter().flatten().map(|place| place.at);
        let from = times().min().unwrap_or_default().saturating_sub(AROUND);
        let until = times().max().unwrap_or_default() + AROUND;
        for fault in &self.inner.faults {
            if fault.from <= until && fault.until.unwrap_or(fault.from) >= from {
                let end = fault.until.map(seconds).unwrap_or_default();
                let (target, what) = (fault.target, &fault.what);
                writeln!(
                    self.out,
                    "    {} to {end} {target} {what}",
                    seconds(fault.from)
                )?;
            }
        }
        for (role, client) in [
            ("publisher", message.publisher),
            ("subscriber", incident.subscriber),
        ] {
            for event in &self.inner.clients[client].events {
                if (from..=until).contains(&event.place.at) {
                    let times = match event.times {
                        1 => String::new(),
                        times => format!(" ({times} times until then)"),
                    };
                    let (what, when) = (&event.what, place(event.place));
                    writeln!(self.out, "    {when} {role} {what}{times}")?;
                }
            }
        }
        Ok(())
    }
}

fn place(place: Place) -> String {
    format!(
        "{} on {}",
        seconds(place.at).trim_start(),
        broker(place.node)
    )
}

/// Of this process, where Linux says it.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(format!("{} MiB", kib >> 10))
}
