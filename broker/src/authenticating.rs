//! Enhanced authentication on one connection (MQTT 5 §4.12): before CONNACK, and again while the client is connected.

use std::sync::Arc;

use bytes::Bytes;
use mqtt::ReasonCode;
use mqtt::packet::Connect;

use crate::auth::{Authenticated, Exchange, Step};
use crate::connection::Connection;

/// An exchange that is under way.
pub(crate) struct Authenticating {
    exchange: Box<dyn Exchange>,
    /// The CONNECT that waits for it; `None`: the client is connected, and authenticates again.
    connect: Option<Box<Connect>>,
}

impl Connection {
    /// Begins an exchange with the method that the client named; `connect` waits for its end.
    pub(crate) async fn begin_exchange(&mut self, connect: Option<Box<Connect>>, data: Bytes) {
        let method = self.session.auth_method().unwrap_or_default();
        match self.node.users.begin(method) {
            Some(exchange) => {
                self.authenticating = Some(Box::new(Authenticating { exchange, connect }));
                self.go_on_exchange(&data).await;
            }
            None => self.refuse_exchange(connect.as_deref(), ReasonCode::BAD_AUTHENTICATION_METHOD),
        }
    }

    /// The client's data of the next step.
    pub(crate) async fn go_on_exchange(&mut self, data: &[u8]) {
        let Some(mut authenticating) = self.authenticating.take() else {
            return self.session.close(ReasonCode::PROTOCOL_ERROR);
        };
        match (
            authenticating.exchange.step(data),
            authenticating.connect.take(),
        ) {
            (Step::Continue(data), connect) => {
                authenticating.connect = connect;
                self.authenticating = Some(authenticating);
                self.session.handle_challenge(data);
            }
            (Step::Done { who, data }, Some(connect)) => self.admit(&connect, who, data).await,
            (Step::Done { who, data }, None) => self.renew(who, data),
            (Step::Refused(reason), connect) => self.refuse_exchange(connect.as_deref(), reason),
        }
    }

    fn renew(&mut self, who: Authenticated, data: Option<Bytes>) {
        let Some(client) = &mut self.client else {
            return;
        };
        match client.identity.renewed(who) {
            Ok(identity) => {
                client.identity = Arc::new(identity);
                self.session.handle_reauthenticated(data);
            }
            Err(reason) => self.refuse_exchange(None, reason),
        }
    }

    fn refuse_exchange(&mut self, connect: Option<&Connect>, reason: ReasonCode) {
        match connect {
            Some(connect) => self.refuse_connect(connect, reason),
            None => self.session.close(reason),
        }
    }
}
