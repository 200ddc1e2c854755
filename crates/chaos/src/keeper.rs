//! Does harm to processes, and brings them back; starts a broker again whenever it has ended, as a supervisor would.

use std::convert::Infallible;
use std::process::ExitStatus;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::broker_node::BrokerNode;
use crate::fault::{Fault, Harm, Lane, Target};
use crate::kafka_nodes::KafkaNodes;
use crate::log::Log;
use crate::signal::Signal;

/// How a broker ends whose work another one has taken over.
const TAKEN_OVER: i32 = 1;

/// When faults begin no more, and whom to tell that the last is over.
pub(crate) struct Until {
    pub(crate) end: Instant,
    pub(crate) back: mpsc::Sender<()>,
}

impl Until {
    /// When the fault begins, or `None` when that is after the end.
    fn begin(&self, fault: &Fault) -> Option<Instant> {
        Some(Instant::now() + fault.after).filter(|at| *at < self.end)
    }

    async fn tell(&self) {
        // Nobody listens when the run has failed already.
        let _failed = self.back.send(()).await;
    }
}

/// Of a broker that runs.
pub(crate) async fn of_broker(
    node: BrokerNode,
    lane: Lane,
    log: Arc<Log>,
    until: Until,
) -> anyhow::Result<Infallible> {
    let mut keeper = OfBroker { node, log };
    for fault in lane {
        let Some(at) = until.begin(&fault) else {
            break;
        };
        loop {
            tokio::select! {
                status = keeper.node.ended() => keeper.revive(status?).await?,
                () = sleep_until(at) => break,
            }
        }
        keeper.harm(&fault).await?;
    }
    until.tell().await;
    loop {
        let status = keeper.node.ended().await?;
        keeper.revive(status).await?;
    }
}

struct OfBroker {
    node: BrokerNode,
    log: Arc<Log>,
}

impl OfBroker {
    async fn harm(&mut self, fault: &Fault) -> anyhow::Result<()> {
        let number = self.log.begins(fault.target, text(fault));
        match fault.harm {
            Harm::Kill => {
                self.node.kill().await?;
                sleep(fault.lasting).await;
                self.start().await?;
            }
            Harm::ShortPause | Harm::LongPause => {
                self.node.signal(Signal::Stop).await?;
                sleep(fault.lasting).await;
                self.node.signal(Signal::Cont).await?;
            }
            Harm::Restart => {
                match self.node.stop().await? {
                    Some(status) => self.judge(fault.target, status, &[0, TAKEN_OVER]),
                    None => {
                        let what = "did not end when told to, and was killed";
                        self.log.begins(fault.target, what.to_owned());
                    }
                }
                self.start().await?;
            }
        }
        self.log.is_over(number);
        Ok(())
    }

    async fn revive(&mut self, status: ExitStatus) -> anyhow::Result<()> {
        let target = self.node.target();
        let what = format!("ended by itself: {status}");
        let number = self.log.begins(target, what);
        self.judge(target, status, &[TAKEN_OVER]);
        self.start().await?;
        self.log.is_over(number);
        Ok(())
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        let target = self.node.target();
        for status in self.node.start().await? {
            self.log.begins(target, format!("did not start: {status}"));
            // A start fails where Kafka can't be reached.
            self.judge(target, status, &[1]);
        }
        Ok(())
    }

    fn judge(&self, target: Target, status: ExitStatus, expected: &[i32]) {
        if !status.code().is_some_and(|code| expected.contains(&code)) {
            self.log.crash(target, &format!("ended with {status}"));
        }
    }
}

/// Of all Kafka nodes: the next fault waits until the last one's node has all that it missed.
pub(crate) async fn of_kafka(
    nodes: Arc<KafkaNodes>,
    lane: Lane,
    log: Arc<Log>,
    until: Until,
) -> anyhow::Result<Infallible> {
    for fault in lane {
        let Target::Kafka(node) = fault.target else {
            continue;
        };
        let Some(at) = until.begin(&fault) else {
            break;
        };
        sleep_until(at).await;
        let number = log.begins(fault.target, text(&fault));
        match fault.harm {
            Harm::Kill => {
                nodes.signal(Signal::Kill, node).await?;
                sleep(fault.lasting).await;
                nodes.start_again(node).await?;
            }
            Harm::ShortPause | Harm::LongPause => {
                nodes.signal(Signal::Stop, node).await?;
                sleep(fault.lasting).await;
                nodes.signal(Signal::Cont, node).await?;
            }
            Harm::Restart => {
                nodes.stop(node).await?;
                nodes.start_again(node).await?;
            }
        }
        nodes.until_in_sync().await?;
        log.is_over(number);
    }
    until.tell().await;
    std::future::pending().await
}

fn text(fault: &Fault) -> String {
    match fault.harm {
        Harm::Restart => fault.harm.to_string(),
        _ => format!("{} of {:.1} s", fault.harm, fault.lasting.as_secs_f64()),
    }
}
