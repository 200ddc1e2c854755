//! From the first byte to CONNACK: who the client is, what was agreed, what goes on from an earlier connection; and
//! enhanced authentication (§4.12), then and later.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Output, Resumed, Session, State};
use crate::packet::{Auth, ConnAck, Connect};
use crate::wire::Text;
use crate::{Packet, ReasonCode, TopicName, Version, Violation};

/// What the driver decides when it lets a client in.
#[derive(Debug, Default)]
pub struct Accepted {
    /// The client identifier that the server chose, if it did.
    pub assigned_client_id: Option<String>,
    /// How long the session outlives its connection, in seconds; `u32::MAX` is for ever.
    pub session_expiry_s: u32,
    /// The session of an earlier connection, if it goes on.
    pub resumed: Option<Resumed>,
    /// What the client may use to build a response topic, if it asked.
    pub response_information: Option<String>,
    /// The last data of the method of enhanced authentication.
    pub auth_data: Option<Bytes>,
}

impl Session {
    pub(super) fn connect(&mut self, connect: Box<Connect>) -> Result<(), Violation> {
        self.version = connect.version;
        let properties = &connect.properties;
        self.outgoing.set_client_limits(
            properties.receive_maximum.unwrap_or(u16::MAX),
            properties.maximum_packet_size,
            properties
                .topic_alias_maximum
                .unwrap_or(0)
                .min(self.limits.client_alias_maximum),
        );
        self.wants_reasons = properties.request_problem_information != Some(0);
        let too_long = connect.client_id.len() > self.limits.client_id_bytes_max
            || (connect.version == Version::V3_1 && connect.client_id.len() > 23);
        // [MQTT-3.1.3-8] of 3.1.1: without a client identifier there is no session to keep.
        let nameless = connect.client_id.is_empty()
            && match connect.version {
                Version::V3_1 => true,
                Version::V3_1_1 => !connect.clean_start,
                Version::V5 => false,
            };
        if nameless || too_long {
            self.handle_refused(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
            return Ok(());
        }
        if connect
            .will
            .as_ref()
            .is_some_and(|will| !self.topic_fits(&will.topic))
        {
            self.handle_refused(ReasonCode::TOPIC_NAME_INVALID);
            return Ok(());
        }
        if properties.auth_data.is_some() && properties.auth_method.is_none() {
            return Err(Violation::PropertyValue(0x16));
        }
        self.auth_method = properties.auth_method.clone().map(Box::new);
        self.state = State::Deciding(connect.clone());
        self.outputs.push_back(Output::Connect(connect));
        Ok(())
    }

    /// Whether a topic name is within the limits that the server set.
    pub(super) fn topic_fits(&self, topic: &TopicName) -> bool {
        let text = topic.as_str();
        text.len() <= self.limits.topic_bytes_max
            && crate::topic::levels(text).count() <= self.limits.topic_levels_max
    }

    /// The driver lets the client in.
    pub fn handle_accepted(&mut self, now: Instant, accepted: Accepted) {
        let connect = match std::mem::replace(&mut self.state, State::Closed) {
            State::Deciding(connect) => connect,
            other => {
                // The client left while the driver decided.
                self.state = other;
                return;
            }
        };
        self.state = State::Up;
        self.last_received = now;
        let keep_alive_s = self.keep_alive_s(&connect);
        self.keep_alive = (keep_alive_s > 0).then(|| Duration::from_secs(keep_alive_s.into()));
        self.session_expiry_s = accepted.session_expiry_s;
        self.may_extend = asked_expiry_s(&connect) > 0;
        self.is_durable = accepted.session_expiry_s > 0;
        let mut answer = ConnAck {
            // Version 3.1 has no such flag.
            session_present: accepted.resumed.is_some() && self.version != Version::V3_1,
            reason: ReasonCode::SUCCESS,
            properties: Default::default(),
        };
        if self.version.is_v5() {
            let properties = &mut answer.properties;
            properties.assigned_client_id = accepted.assigned_client_id.as_deref().map(Text::from);
            properties.receive_maximum = Some(self.limits.receive_maximum);
            properties.maximum_packet_size = u32::try_from(self.limits.packet_bytes_max).ok();
            properties.topic_alias_maximum = Some(self.limits.topic_alias_maximum);
            properties.server_keep_alive_s =
                (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s);
            // [MQTT-3.2.2-22] of the text: said only when it is not what the client asked for.
            if accepted.session_expiry_s != asked_expiry_s(&connect) {
                properties.session_expiry_s = Some(accepted.session_expiry_s);
            }
            if connect.properties.request_response_information == Some(1) {
                properties.response_information =
                    accepted.response_information.as_deref().map(Text::from);
            }
            properties.auth_method = self.auth_method.as_deref().cloned();
            properties.auth_data = accepted.auth_data;
        }
        self.will = connect.will.map(Box::new);
        self.send(Packet::ConnAck(answer));
        if let Some(resumed) = accepted.resumed {
            self.resume(now, resumed);
        }
    }

    fn resume(&mut self, now: Instant, resumed: Resumed) {
        self.incoming.resume(resumed.received);
        for release in self.outgoing.resume(resumed.in_flight) {
            self.send(release);
        }
        self.resend(now);
    }

    /// The driver does not let the client in.
    pub fn handle_refused(&mut self, reason: ReasonCode) {
        self.refused(reason, None);
    }

    /// The driver sends the client to another server (0x9C, 0x9D).
    pub fn handle_redirected(&mut self, reason: ReasonCode, server: &str) {
        self.refused(reason, Some(server));
    }

    fn refused(&mut self, reason: ReasonCode, server: Option<&str>) {
        let mut answer = ConnAck {
            session_present: false,
            reason,
            properties: Default::default(),
        };
        if self.version.is_v5() {
            answer.properties.reason_string = Some(Text::from(reason.text()));
            answer.properties.server_reference = server.map(Text::from);
        }
        self.send(Packet::ConnAck(answer));
        self.closed(reason);
    }

    /// The method of enhanced authentication that the client named in its CONNECT.
    pub fn auth_method(&self) -> Option<&str> {
        self.auth_method.as_deref().map(Text::as_str)
    }

    /// The method of enhanced authentication wants more from the client.
    pub fn handle_challenge(&mut self, data: Bytes) {
        // A client that is connected authenticates again while it goes on.
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Deciding(connect) => State::Challenged(connect),
            other => other,
        };
        self.send_auth(ReasonCode::CONTINUE_AUTHENTICATION, Some(data));
    }

    /// The client has shown again who it is.
    pub fn handle_reauthenticated(&mut self, data: Option<Bytes>) {
        self.is_reauthenticating = false;
        self.send_auth(ReasonCode::SUCCESS, data);
    }

    fn send_auth(&mut self, reason: ReasonCode, data: Option<Bytes>) {
        let mut auth = Auth {
            reason,
            properties: Default::default(),
        };
        auth.properties.auth_method = self.auth_method.as_deref().cloned();
        auth.properties.auth_data = data;
        self.send(Packet::Auth(auth));
    }

    /// An AUTH came: a step of the exchange that is under way, or the start of a new one [MQTT-4.12.1-1].
    pub(super) fn auth(&mut self, auth: Auth) -> Result<(), Violation> {
        // [MQTT-4.12.0-5], [MQTT-4.12.1-1] The method stays the same; without one there is no AUTH [MQTT-4.12.0-7].
        let method = auth.properties.auth_method.as_ref();
        if self.auth_method.is_none() || method != self.auth_method.as_deref() {
            return Err(Violation::Unexpected);
        }
        let is_step = auth.reason == ReasonCode::CONTINUE_AUTHENTICATION;
        let is_start = auth.reason == ReasonCode::REAUTHENTICATE;
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Challenged(connect) if is_step => self.state = State::Deciding(connect),
            State::Up if is_start && !self.is_reauthenticating => {
                self.is_reauthenticating = true;
                self.state = State::Up;
            }
            State::Up if is_step && self.is_reauthenticating => self.state = State::Up,
            other => {
                self.state = other;
                return Err(Violation::Unexpected);
            }
        }
        self.outputs.push_back(Output::Auth {
            data: auth.properties.auth_data.clone().unwrap_or_default(),
            is_start,
        });
        Ok(())
    }

    fn keep_alive_s(&self, connect: &Connect) -> u16 {
        match (connect.keep_alive_s, self.limits.keep_alive_max_s) {
            (asked, 0) => asked,
            // Before version 5 the client cannot be told another one.
            (asked, _) if !connect.version.is_v5() => asked,
            (0, limit) => limit,
            (asked, limit) => asked.min(limit),
        }
    }
}

/// How long the client wants its session to outlive the connection. Before version 5 a session that is not clean has
/// no end.
pub fn asked_expiry_s(connect: &Connect) -> u32 {
    match connect.version {
        Version::V5 => connect.properties.session_expiry_s.unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => u32::MAX,
    }
}
