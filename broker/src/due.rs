//! What is done for clients that are away: their wills are published when the delay is over, and their sessions end when
//! their time is. And for those whose node died: for them the connection is lost since then. Each client identifier is
//! looked after by one of the nodes; its claim makes sure that it is one.

use std::sync::Arc;
use std::time::Duration;

use service::Shutdown;
use tokio::sync::Semaphore;

use crate::node::Node;
use crate::sessions::{Claim, Left, now_ms};

/// Sessions that are looked after at the same time: each waits for Kafka, and many may be due together.
const AT_ONCE: usize = 256;

/// Does what is due, when it is, until `shutdown`.
pub(crate) async fn run(node: Arc<Node>, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let directory = &node.sessions.directory;
        let first = directory.with(|all| all.first_due().cloned());
        let wait_ms = first
            .as_ref()
            .map_or(u64::MAX, |(due_ms, _)| due_ms.saturating_sub(now_ms()));
        if wait_ms > 0 {
            // A day at most: the clock may be set.
            let wait = Duration::from_millis(wait_ms.min(86_400_000));
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = directory.due_changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            continue;
        }
        let Some(due) = first else { continue };
        // Another node's to do; if it does not, whoever comes first.
        let later_ms = now_ms() + 2 * node.membership.lapse.as_millis() as u64;
        let is_mine = directory.with(|all| all.take_due(&due, later_ms));
        if !is_mine {
            continue;
        }
        let place = tokio::select! {
            () = shutdown.cancelled() => return,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let _place = place;
            see_to(&node, &due.1).await;
        });
    }
}

/// Claims a session that nobody owns, and looks after it. What fails is due again later.
async fn see_to(node: &Arc<Node>, client_id: &str) {
    let result = match node.sessions.claim_idle(client_id).await {
        // The client is here again, or another node is at it.
        Ok(None) => Ok(()),
        Ok(Some(claim)) => look_after(node, claim).await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = result {
        tracing::warn!(%error, client_id, "can't look after a session");
    }
}

/// Publishes the will and ends the session, as far as it is time for that: all at once, or nothing.
async fn look_after(node: &Arc<Node>, claim: Claim) -> anyhow::Result<()> {
    let Some(mut session) = claim.read().await? else {
        return Ok(claim.release(Left::Nothing, Vec::new()).await?);
    };
    if session.connected {
        session.connected = false;
        session.left_ms = claim.lost_ms().unwrap_or_else(now_ms);
        if let Some(will) = &mut session.will {
            will.due_ms = Some(session.left_ms + u64::from(will.delay_s) * 1000);
        }
    }
    session.epoch = claim.epoch();
    let now_ms = now_ms();
    let is_over = session.ends_ms().is_some_and(|ends_ms| ends_ms <= now_ms);
    let is_due = |due_ms: Option<u64>| due_ms.is_some_and(|due_ms| due_ms <= now_ms);
    let will = session.will.take_if(|will| is_over || is_due(will.due_ms));
    let records = match &will {
        // The publisher is gone, so its name means nothing to No Local.
        Some(will) => node
            .ingress
            .records(&will.publish()?, "")
            .unwrap_or_else(|reason| {
                node.metrics.refused(reason.text());
                Vec::new()
            }),
        None => Vec::new(),
    };
    let left = match is_over {
        true => Left::Nothing,
        false => Left::State(&session),
    };
    claim.release(left, records).await?;
    if is_over {
        node.metrics.sessions_expired.inc();
    }
    Ok(())
}
