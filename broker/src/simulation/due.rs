//! What is done for clients that are away. As `due` does.

use std::sync::Arc;

use super::claims::{Claim, Left, message};
use super::node::{LAPSE_MS, left_of};
use super::world::{Here, START_MS};

/// Does what is due, when it is.
pub(super) async fn run(here: Here) {
    loop {
        let first = here.node(|node| node.ownership.first_due().cloned());
        let due_ms = first.as_ref().map_or(u64::MAX, |(due_ms, _)| *due_ms);
        if due_ms > here.with(|world| world.unix_ms()) {
            if due_ms < u64::MAX {
                here.wake_at(due_ms - START_MS);
            }
            here.until(|world| {
                let has_changed = world.nodes[here.node].ownership.first_due() != first.as_ref();
                (has_changed || world.unix_ms() >= due_ms).then_some(())
            })
            .await;
            continue;
        }
        let Some(due) = first else { continue };
        // Another node's to do; if it does not, whoever comes first.
        let later_ms = here.with(|world| world.unix_ms()) + 2 * LAPSE_MS;
        if here.node(|node| node.ownership.take_due(&due, later_ms)) {
            let of_client = here.clone();
            here.spawn(async move { look_after(&of_client, &due.1).await });
        }
    }
}

/// Publishes the will and ends the session, as far as it is time for that: all at once, or nothing.
async fn look_after(here: &Here, client_id: &Arc<str>) {
    // The client is here again, or another node is at it.
    let Some(claim) = Claim::idle(here, client_id).await else {
        return;
    };
    let Some(mut session) = claim.read().await else {
        claim.release(Some(Left::Nothing), Vec::new()).await;
        return;
    };
    let now_ms = here.with(|world| world.unix_ms());
    if session.connected {
        session.connected = false;
        session.left_ms = claim.lost_ms().unwrap_or(now_ms);
        if let Some(will) = &mut session.will {
            will.due_ms = Some(session.left_ms + u64::from(will.delay_s) * 1000);
        }
    }
    session.epoch = claim.epoch();
    let is_over = session.ends_ms().is_some_and(|ends_ms| ends_ms <= now_ms);
    let is_due = |due_ms: Option<u64>| due_ms.is_some_and(|due_ms| due_ms <= now_ms);
    let will = session.will.take_if(|will| is_over || is_due(will.due_ms));
    let records = will.iter().filter_map(|will| will.publish().ok());
    let records = records.map(|will| {
        let topic = will.topic.as_ref().map_or("", |topic| topic.as_str());
        message(topic, &will.payload, will.qos)
    });
    let records = records.collect();
    here.with(|world| world.trace(|| format!("n{} looks after {client_id}", here.node)));
    claim
        .release(Some(left_of(&session, is_over)), records)
        .await;
}
