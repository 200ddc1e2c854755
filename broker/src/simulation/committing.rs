//! Stores what belongs together, one transaction after the other. As `ledger` does.

use std::collections::BTreeMap;

use super::log::{Refusal, ToAppend};
use super::node::read_all;
use super::world::{Answer, Here, Request, World};

/// Entries in one transaction at most: few, so that some wait for the next.
const GROUP_MAX: usize = 5;

/// Called once, with the partitions and offsets of all records, or when none is stored.
pub(super) type OnPlaces = Box<dyn FnOnce(&mut World, Option<Vec<(usize, i64)>>)>;

pub(super) struct Entry {
    pub(super) records: Vec<ToAppend>,
    pub(super) then: OnPlaces,
}

pub(super) fn push(world: &mut World, node: usize, entry: Entry) {
    if world.nodes[node].ledger_is_over {
        return (entry.then)(world, None);
    }
    world.nodes[node].ledger.push_back(entry);
    world.progressed = true;
}

/// Commits until the node ends.
pub(super) async fn run(here: Here, mut producer: (String, u32)) {
    loop {
        let group: Vec<Entry> = here
            .until(|world| {
                let node = &mut world.nodes[here.node];
                let count = node.ledger.len().min(GROUP_MAX);
                (count > 0 || node.ledger_is_over).then(|| node.ledger.drain(..count).collect())
            })
            .await;
        if group.is_empty() {
            return;
        }
        let places = loop {
            match commit(&here, &producer, &group).await {
                Ok(places) => break Some(places),
                Err(_fenced) => match renew(&here, &producer.0).await {
                    Some(renewed) => producer = renewed,
                    None => break None,
                },
            }
        };
        let Some(places) = places else {
            return give_up(&here, group);
        };
        let mut places = places.into_iter();
        here.with(|world| {
            for entry in group {
                let of_entry = places.by_ref().take(entry.records.len()).collect();
                (entry.then)(world, Some(of_entry));
            }
        });
    }
}

async fn commit(
    here: &Here,
    producer: &(String, u32),
    group: &[Entry],
) -> Result<Vec<(usize, i64)>, Refusal> {
    let records: Vec<&ToAppend> = group.iter().flat_map(|entry| &entry.records).collect();
    let mut by_partition: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        by_partition.entry(record.partition).or_default().push(at);
    }
    let asked: Vec<u64> = here.with(|world| {
        by_partition
            .values()
            .map(|of_one| {
                let to_append = of_one.iter().map(|at| records[*at].clone()).collect();
                let request = Request::AppendInTransaction(producer.clone(), to_append);
                world.ask(here.node, request)
            })
            .collect()
    });
    let mut places = vec![(0, 0); records.len()];
    let mut refusal = None;
    for (id, (partition, of_one)) in asked.into_iter().zip(by_partition) {
        let answer = here
            .until(|world| world.nodes[here.node].answers.remove(&id))
            .await;
        match answer {
            Answer::At(offsets) => {
                for (at, offset) in of_one.into_iter().zip(offsets) {
                    places[at] = (partition, offset);
                }
            }
            Answer::Refused(why) => refusal = Some(why),
            other => unreachable!("not an answer to this: {other:?}"),
        }
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    match here.ask(Request::Commit(producer.clone())).await {
        Answer::Committed => Ok(places),
        Answer::Refused(why) => Err(why),
        other => unreachable!("not an answer to this: {other:?}"),
    }
}

/// A new producer, unless another node has ended the one before it.
async fn renew(here: &Here, id: &str) -> Option<(String, u32)> {
    let started = here.ask(Request::StartTransactions(id.to_owned())).await;
    let Answer::Started(epoch) = started else {
        unreachable!("a busy producer is asked again");
    };
    if here.node(|node| node.ledger_is_over) {
        return None;
    }
    read_all(here).await;
    let still_lives = !here.node(|node| node.is_declared);
    still_lives.then(|| (id.to_owned(), epoch))
}

fn give_up(here: &Here, group: Vec<Entry>) {
    here.with(|world| {
        let node = &mut world.nodes[here.node];
        node.ledger_is_over = true;
        let rest = std::mem::take(&mut node.ledger);
        for entry in group.into_iter().chain(rest) {
            (entry.then)(world, None);
        }
    });
}
