//! MQTT 5 clients: two ways to do the same for a vehicle.
//!
//! [`Rumqtt`] is a well-kept library's; [`Lean`] does only what a vehicle needs, for fleets that the library's needs of
//! memory and time would not let join. `--client` chooses.

mod lean;
mod rumqtt;

use std::time::Duration;

pub(crate) use lean::Lean;
pub(crate) use rumqtt::Rumqtt;

use crate::agent::Agent;

/// How long a connection may be silent; half of it passes between two pings.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Unacknowledged messages at QoS 1. `rumqttc` reserves a place for each, so its default of 65 535 would cost every
/// vehicle megabytes.
const IN_FLIGHT: u16 = 16;

/// A client of one vehicle.
pub(crate) trait Client: Send {
    /// Connects and sends what the agent has, until the connection ends: returns why. The agent gets its turn at each
    /// tick, connected or not. When this is dropped, only [`Client::leave`] may follow.
    fn serve(&mut self, agent: &mut Agent) -> impl Future<Output = anyhow::Error> + Send;

    /// Sends the agent's goodbye, waits until the broker has it, and disconnects.
    fn leave(&mut self, agent: &mut Agent) -> impl Future<Output = anyhow::Result<()>> + Send;
}
