//! What is done for clients that are away: their wills are published when the delay is over, and their sessions end when
//! their time is. And after a crash: who was connected to this node is away now.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use service::Shutdown;

use crate::node::Node;
use crate::sessions::{Claim, now_ms};

/// How long to wait before something that Kafka refused is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Sessions that are looked at together after a start.
const RECOVERED_AT_ONCE: usize = 64;

/// Does what is due, when it is, until `shutdown`.
pub(crate) async fn run(node: Arc<Node>, shutdown: Shutdown) {
    loop {
        let first = node.sessions.first_due();
        let wait_ms = first
            .as_ref()
            .map_or(u64::MAX, |(due_ms, _)| due_ms.saturating_sub(now_ms()));
        if wait_ms > 0 {
            // A day at most: the clock may be set.
            let wait = Duration::from_millis(wait_ms.min(86_400_000));
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = node.sessions.due_changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            continue;
        }
        let Some(due) = first else { continue };
        let Some(claim) = node.sessions.claim_idle(&due.1) else {
            // The client is here again, or the node is at it elsewhere.
            node.sessions.forget_due(&due);
            continue;
        };
        if let Err(error) = look_after(&node, &claim).await {
            tracing::warn!(%error, client_id = %due.1, "can't look after a session");
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }
}

/// Publishes the will and ends the session, as far as it is time for that.
async fn look_after(node: &Arc<Node>, claim: &Claim) -> anyhow::Result<()> {
    let Some(mut session) = claim.read().await? else {
        claim.store(None).await?;
        return Ok(());
    };
    let now_ms = now_ms();
    let is_over = session.ends_ms().is_some_and(|ends_ms| ends_ms <= now_ms);
    let is_due = |due_ms: Option<u64>| due_ms.is_some_and(|due_ms| due_ms <= now_ms);
    let will = session.will.take_if(|will| is_over || is_due(will.due_ms));
    if let Some(will) = &will {
        node.publish(&will.publish()?, "").await;
    }
    if is_over {
        node.metrics.sessions_expired.inc();
        claim.store(None).await?;
    } else {
        claim.store(Some(&session)).await?;
    }
    Ok(())
}

/// Sees to the sessions whose clients were connected to this node when it died: for them the connection is lost now.
pub(crate) async fn recover(node: Arc<Node>) {
    let name = node.name.clone();
    stream::iter(node.sessions.client_ids())
        .for_each_concurrent(RECOVERED_AT_ONCE, |client_id| {
            let (node, name) = (Arc::clone(&node), name.clone());
            async move {
                // A client that is here already has seen to it.
                let Some(claim) = node.sessions.claim_idle(&client_id) else {
                    return;
                };
                if let Err(error) = recover_one(&node, &claim, &name).await {
                    tracing::warn!(%error, %client_id, "can't look after a session");
                }
            }
        })
        .await;
}

async fn recover_one(node: &Arc<Node>, claim: &Claim, name: &str) -> anyhow::Result<()> {
    let Some(mut session) = claim.read().await? else {
        return Ok(());
    };
    if !session.connected || session.node != name {
        return Ok(());
    }
    session.connected = false;
    session.left_ms = now_ms();
    if let Some(will) = &mut session.will {
        will.due_ms = Some(session.left_ms + u64::from(will.delay_s) * 1000);
    }
    claim.store(Some(&session)).await?;
    look_after(node, claim).await
}
