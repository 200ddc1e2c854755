//! Writes the totals that changed, at most so often.

use std::time::{Duration, Instant};

use fleet::CompanyTotal;
use kafka::{Error, OnDelivery, Producer, ToSend};
use service::Shutdown;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use crate::run::Shared;

/// Publishes every `interval` until `shutdown`.
pub(crate) async fn run(
    shared: &Shared,
    producer: &Producer,
    company_topic: &str,
    interval: Duration,
    shutdown: &Shutdown,
) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rounds = async {
        loop {
            ticks.tick().await;
            round(shared, producer, company_topic).await;
        }
    };
    shutdown.run_until_cancelled(rounds).await;
}

/// Publishes what changed since the last round and waits until Kafka has it. So there is one round at a time: while
/// Kafka is away nothing piles up, and the next round has each company's newest total.
pub(crate) async fn round(shared: &Shared, producer: &Producer, company_topic: &str) {
    let changed = shared.state.lock().companies_mut().take_changed();
    if changed.is_empty() {
        return;
    }
    let started = Instant::now();
    let mut waiting = Vec::with_capacity(changed.len());
    for (company, total) in changed {
        let acknowledged = send(producer, company_topic, &company, total.as_ref()).await;
        waiting.push((company, acknowledged));
    }
    for (company, acknowledged) in waiting {
        match acknowledged.await {
            Ok(Ok(())) => {
                shared.metrics.totals_published.inc();
            }
            failed => {
                shared.metrics.produce_errors.inc();
                if let Ok(Err(error)) = failed {
                    tracing::warn!(%error, company, "total not published: trying again");
                }
                shared.state.lock().companies_mut().mark_changed(&company);
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    shared.metrics.publish_seconds.observe(seconds);
}

/// Puts one total into the producer's queue; none is a tombstone.
async fn send(
    producer: &Producer,
    company_topic: &str,
    company: &str,
    total: Option<&CompanyTotal>,
) -> oneshot::Receiver<Result<(), Error>> {
    let json = total.map(CompanyTotal::to_json);
    let record = ToSend {
        kafka_topic: company_topic,
        partition: None,
        key: Some(company.as_bytes()),
        value: json.as_deref(),
        headers: &[],
    };
    let (done, acknowledged) = oneshot::channel();
    let mut on_delivery: Option<OnDelivery> = Some(Box::new(move |result| {
        // Nobody waits for it any more when we are shutting down.
        let _nobody = done.send(result.map(drop));
    }));
    while let Err(full) = producer.send(&record, on_delivery.take()) {
        on_delivery = full.0;
        producer.has_room().await;
    }
    acknowledged
}
