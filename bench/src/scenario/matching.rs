//! Which of many filters match a topic, and the codec: in this process, on one core, with a fixed seed.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use anyhow::ensure;
use bytes::BytesMut;
use mqtt::filters::FilterTree;
use mqtt::{QoS, TopicFilter, Version, codec};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Bench;
use crate::client::Message;
use crate::report::Row;

const SCENARIO: &str = "matching";
const SEED: u64 = 1;
const FILTERS: usize = 100_000;
const TOPICS: usize = 1_000_000;
const PACKETS: usize = 1_000_000;
/// Sites, each with as many devices, as names: 3 levels, then one of 4 kinds of value.
const SITES: usize = 100;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let bench = (
        bench.count(FILTERS),
        bench.count(TOPICS),
        bench.count(PACKETS),
    );
    tokio::task::spawn_blocking(move || measure(bench)).await?
}

fn measure((filters, topics, packets): (usize, usize, usize)) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![mixed(filters, topics)?];
    for (filters, matches) in [
        (filters / 100, 1),
        (filters / 10, 1),
        (filters, 1),
        (filters, 10),
        (filters, 100),
    ] {
        rows.push(even(filters, matches, topics)?);
    }
    rows.extend(codec(packets)?);
    Ok(rows)
}

/// Filters as people write them: one device, one kind of all devices of a site, a whole site.
fn mixed(filters: usize, topics: usize) -> anyhow::Result<Row> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let devices = filters / SITES + 1;
    let mut tree = FilterTree::default();
    for key in 0..filters {
        let (site, device) = (
            random.random_range(0..SITES),
            random.random_range(0..devices),
        );
        let filter = match key % 1000 {
            0 => format!("plant/{site}/#"),
            1..10 => format!("plant/{site}/+/{}", random.random_range(0..4)),
            10..400 => format!("plant/{site}/{device}/+"),
            _ => format!("plant/{site}/{device}/{}", random.random_range(0..4)),
        };
        tree.insert(&TopicFilter::new(&filter)?, key, ());
    }
    let names: Vec<String> = (0..topics)
        .map(|_| {
            let (site, device) = (
                random.random_range(0..SITES),
                random.random_range(0..devices),
            );
            format!("plant/{site}/{device}/{}", random.random_range(0..4))
        })
        .collect();
    let (ns, matches) = time_matches(&tree, names.iter().map(String::as_str));
    let note = format!(
        "{:.1} matches a topic, {:.1} ns a match",
        matches,
        ns / matches
    );
    Ok(Row::new(
        SCENARIO,
        format!("a topic against {filters} filters, mixed"),
        ns,
        "ns",
    )
    .note(note))
}

/// `filters` different filters of which each topic matches one, which has `matches` subscribers.
fn even(filters: usize, matches: usize, topics: usize) -> anyhow::Result<Row> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let filters = (filters / matches).max(1);
    let mut tree = FilterTree::default();
    for at in 0..filters {
        let filter = TopicFilter::new(&format!("plant/{}/{at}/+", at % SITES))?;
        for subscriber in 0..matches {
            tree.insert(&filter, subscriber, ());
        }
    }
    let mut name = String::new();
    // Names are made while matching, so that a million of them do not drive the tree out of the caches; making them
    // is measured alone, and taken off.
    let mut pick = |name: &mut String| {
        let at = random.random_range(0..filters);
        name.clear();
        // Writing to a String does not fail.
        let _ = write!(name, "plant/{}/{at}/value", at % SITES);
    };
    let start = Instant::now();
    for _ in 0..topics {
        pick(&mut name);
        black_box(&name);
    }
    let making = start.elapsed();
    let mut found = 0usize;
    let start = Instant::now();
    for _ in 0..topics {
        pick(&mut name);
        tree.for_each_match(&name, |key, ()| {
            found += usize::from(black_box(*key) < usize::MAX)
        });
    }
    let took = start.elapsed().saturating_sub(making);
    ensure!(
        found == topics * matches,
        "{found} matches instead of {}",
        topics * matches
    );
    let ns = took.as_nanos() as f64 / topics as f64;
    let what = format!(
        "a topic with {matches} matches, {} subscriptions",
        filters * matches
    );
    Ok(Row::new(SCENARIO, what, ns, "ns").note(format!("{:.1} ns a match", ns / matches as f64)))
}

/// Nanoseconds and matches a topic.
fn time_matches<'a>(
    tree: &FilterTree<usize, ()>,
    names: impl ExactSizeIterator<Item = &'a str>,
) -> (f64, f64) {
    let count = names.len() as f64;
    let mut found = 0u64;
    let start = Instant::now();
    for name in names {
        tree.for_each_match(name, |key, ()| {
            found += u64::from(black_box(*key) < usize::MAX)
        });
    }
    (
        start.elapsed().as_nanos() as f64 / count,
        found as f64 / count,
    )
}

/// A PUBLISH with 200 bytes of payload, both ways.
fn codec(packets: usize) -> anyhow::Result<Vec<Row>> {
    let mut message = Message::new("plant/1/2/value", QoS::AtLeastOnce, false, 200)?;
    let one = message.stamped(Default::default()).to_vec();
    let each = |ns: u128| ns as f64 / packets as f64;
    // As they come from a socket: some in one buffer.
    const TOGETHER: usize = 16;
    let start = Instant::now();
    let mut last = None;
    for _ in 0..packets / TOGETHER {
        let mut buffer = BytesMut::with_capacity(one.len() * TOGETHER);
        for _ in 0..TOGETHER {
            buffer.extend_from_slice(&one);
        }
        while let Some(packet) = codec::decode(&mut buffer, Version::V3_1_1, usize::MAX)? {
            last = Some(black_box(packet));
        }
    }
    let decode = each(start.elapsed().as_nanos());
    let Some(packet) = last else {
        anyhow::bail!("no packet was decoded");
    };
    let mut out = BytesMut::with_capacity(one.len());
    let start = Instant::now();
    for _ in 0..packets {
        out.clear();
        codec::encode(black_box(&packet), Version::V3_1_1, &mut out);
        black_box(&out);
    }
    let encode = each(start.elapsed().as_nanos());
    ensure!(
        out[..] == one[..],
        "a packet changed when it was decoded and encoded"
    );
    Ok(vec![
        Row::new(SCENARIO, "decode a PUBLISH of 200 B", decode, "ns"),
        Row::new(SCENARIO, "encode a PUBLISH of 200 B", encode, "ns"),
    ])
}
