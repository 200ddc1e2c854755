//! Route searches, off the threads that serve connections.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Semaphore, oneshot};

use crate::metrics::Metrics;
use crate::vehicle::{Planned, Saved, Vehicle, Wanted, World};

/// Searches routes on a few threads at a time. Each vehicle has at most one search waiting, so the queue is bounded by
/// the size of the fleet.
pub(crate) struct Router {
    threads: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// The answer to come.
pub(crate) type Answer = oneshot::Receiver<Option<Planned>>;

impl Router {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        // The rest of the cores is for everything else.
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self {
            threads: Arc::new(Semaphore::new((cores / 2).max(1))),
            metrics,
        }
    }

    /// Begins a search.
    pub(crate) fn plan(self: &Arc<Self>, world: Arc<World>, wanted: Wanted) -> Answer {
        let (sender, answer) = oneshot::channel();
        let router = Arc::clone(self);
        tokio::spawn(async move {
            let planned = router.blocking(move || wanted.plan(&world.map)).await;
            router.metrics.trips.inc();
            // Nobody waits any more when the vehicle has left.
            let _left = sender.send(planned.flatten());
        });
        answer
    }

    /// Puts a vehicle on the road, as it was saved or anew, which takes a search too.
    pub(crate) async fn place(
        &self,
        world: Arc<World>,
        index: u32,
        saved: Option<Saved>,
        sequence: u64,
    ) -> Option<Vehicle> {
        self.blocking(move || {
            let restored =
                saved.and_then(|saved| Vehicle::restore(Arc::clone(&world), saved, sequence));
            restored.or_else(|| Vehicle::new(world, index, sequence))
        })
        .await
        .flatten()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(&self.threads).acquire_owned().await.ok()?;
        let metrics = Arc::clone(&self.metrics);
        let searched = tokio::task::spawn_blocking(move || {
            let start = Instant::now();
            let result = work();
            metrics.route_seconds.observe(start.elapsed().as_secs_f64());
            drop(permit);
            result
        });
        searched.await.ok()
    }
}
