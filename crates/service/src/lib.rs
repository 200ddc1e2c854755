//! The process shell of every binary: settings, telemetry, admin port, shutdown.
//!
//! - [`config`]: flag beats variable beats file
//! - [`run`]: a `main` that reports one clear line and the right exit status
//! - [`admin`]: `/live`, `/ready`, `/metrics`
//! - [`listen`]: a listening socket, or an error that names the setting to change

pub mod admin;
pub mod config;
mod net;
mod process;
pub mod telemetry;

pub use config::{BadSetting, Settings};
pub use net::listen;
pub use process::run;
pub use tokio_util::sync::CancellationToken as Shutdown;
