//! Listening sockets.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::anyhow;
use tokio::net::TcpListener;

/// Binds `addr` for `what`; `setting` is what a user changes when the port is taken. Port 0 picks a free one.
///
/// # Errors
/// One line that names the address, the reason and the setting.
pub async fn listen(what: &str, setting: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::AddrInUse => "the port is in use".to_owned(),
            ErrorKind::PermissionDenied => "not permitted".to_owned(),
            _ => error.to_string(),
        };
        anyhow!("{what} can't listen on {addr}: {reason}; set {setting} to a free port, or to 0 to have one picked")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_names_the_setting() {
        let first = listen("mqtt", "MQTT_PORT", "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let taken = first.local_addr().unwrap();
        let error = listen("mqtt", "MQTT_PORT", taken).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "mqtt can't listen on {taken}: the port is in use; set MQTT_PORT to a free port, or to 0 to have one picked"
            )
        );
    }
}
