//! The web UI as a process of its own.

use std::process::ExitCode;

use web_ui::{Config, WebUi};

fn main() -> ExitCode {
    service::run::<Config, _>(&[], |settings, shutdown| async move {
        let web_ui = WebUi::start(settings.args, shutdown).await?;
        tracing::info!("{} at http://{}/", web_ui.summary(), web_ui.addr());
        web_ui.finished().await
    })
}
