//! Who a client is: user name and password, a token, or an exchange of several steps (MQTT 5 §4.12).
//!
//! - `users`: the users file
//! - `verifier`: what is stored of a password so that it need not be
//! - `scram`: the exchange that proves a password without sending it
//! - `jwt`: tokens
//! - `hash_password`: the command that writes a line of the users file

mod hash_password;
mod jwt;
mod scram;
mod users;
mod verifier;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use mqtt::ReasonCode;
use service::BadSetting;

pub use hash_password::hash_password;
use jwt::Tokens;
pub use jwt::{JwtConfig, Secret};
use users::Users;

/// What a client has proved to be; nothing, when it is anonymous.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Authenticated {
    /// The user name; `None` for an anonymous client.
    pub(crate) username: Option<String>,
    /// The groups it is in, by its token.
    pub(crate) groups: Vec<String>,
    /// The organization it belongs to, by its token.
    pub(crate) organization: Option<String>,
    /// Until when that holds; `None`: as long as the connection.
    pub(crate) expires: Option<SystemTime>,
}

/// Who a client is, once it is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user name; `None` for an anonymous client.
    pub(crate) username: Option<String>,
    /// The client identifier, which the client chose: it proves nothing.
    pub(crate) client_id: String,
    /// The groups it is in, by its token.
    pub(crate) groups: Vec<String>,
    /// The organization it belongs to, by its token.
    pub(crate) organization: Option<String>,
    /// Until when that holds; `None`: as long as the connection.
    pub(crate) expires: Option<SystemTime>,
}

impl Identity {
    pub(crate) fn new(who: Authenticated, client_id: String) -> Self {
        Self {
            username: who.username,
            client_id,
            groups: who.groups,
            organization: who.organization,
            expires: who.expires,
        }
    }

    /// The identity after a re-authentication: groups, organization and expiry may have changed.
    ///
    /// # Errors
    /// When it is somebody else: a session does not change hands.
    pub(crate) fn renewed(&self, who: Authenticated) -> Result<Self, ReasonCode> {
        if who.username == self.username {
            Ok(Self::new(who, self.client_id.clone()))
        } else {
            Err(ReasonCode::NOT_AUTHORIZED)
        }
    }

    /// Whether the client proved who it is.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.username.is_some()
    }
}

/// One exchange of enhanced authentication (MQTT 5 §4.12).
pub(crate) trait Exchange: Send + Sync {
    /// Takes the authentication data of a CONNECT or AUTH; empty, if it has none. After [`Step::Done`] and
    /// [`Step::Refused`] the exchange is over.
    fn step(&mut self, data: &[u8]) -> Step;
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// AUTH with reason 0x18 and this data.
    Continue(Bytes),
    /// The client is let in: CONNACK, or AUTH with reason 0x00 when it was in already, with this data. Then the caller
    /// checks [`Identity::renewed`].
    Done {
        who: Authenticated,
        data: Option<Bytes>,
    },
    /// CONNACK, or DISCONNECT when it was in already, with this reason.
    Refused(ReasonCode),
}

/// The ways to authenticate that the settings open.
pub(crate) struct Authentication {
    required: bool,
    users: Arc<Users>,
    tokens: Option<Arc<Tokens>>,
}

impl Authentication {
    /// Reads the users file and the tokens' key.
    ///
    /// # Errors
    /// Which setting or line is wrong, and what would be right.
    pub(crate) fn load(
        users_file: Option<&Path>,
        required: bool,
        jwt: &JwtConfig,
    ) -> Result<Self, BadSetting> {
        let users = Users::load(users_file)?;
        let tokens = Tokens::new(jwt)?;
        if let Some(tokens) = &tokens
            && users.has(tokens.connect_username())
        {
            return Err(BadSetting(format!(
                "user `{}` of the users file could not log in, since tokens come under this name; change JWT_MQTT_CONNECT_USERNAME",
                tokens.connect_username()
            )));
        }
        Ok(Self {
            required,
            users: Arc::new(users),
            tokens: tokens.map(Arc::new),
        })
    }

    /// Whether nobody can get in.
    pub(crate) fn locks_everybody_out(&self) -> bool {
        self.required && self.users.is_empty() && self.tokens.is_none()
    }

    /// Decides on user name and password. Without a user name a client is anonymous, which a setting may forbid; with
    /// one, its password must be right in any case. A password that is stored as a verifier costs milliseconds.
    ///
    /// # Errors
    /// The reason code to refuse it with.
    pub(crate) fn admit(
        &self,
        username: Option<&str>,
        password: Option<&[u8]>,
    ) -> Result<Authenticated, ReasonCode> {
        let Some(username) = username else {
            return if self.required {
                Err(ReasonCode::NOT_AUTHORIZED)
            } else {
                Ok(Authenticated::default())
            };
        };
        let password = password.unwrap_or_default();
        if let Some(tokens) = &self.tokens
            && username == tokens.connect_username()
        {
            return tokens.verify(password).map_err(|reason| {
                tracing::debug!(%reason, "token refused");
                ReasonCode::BAD_USER_NAME_OR_PASSWORD
            });
        }
        if self.users.is_password(username, password) {
            Ok(Authenticated::user(username))
        } else {
            Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD)
        }
    }

    /// Begins an exchange; `None` for an unknown method, which is refused with 0x8C.
    pub(crate) fn begin(&self, method: &str) -> Option<Box<dyn Exchange>> {
        match (method, &self.tokens) {
            (scram::METHOD, _) if !self.users.is_empty() => {
                Some(Box::new(scram::Server::new(Arc::clone(&self.users))))
            }
            (jwt::METHOD, Some(tokens)) => Some(Box::new(jwt::OneStep::new(Arc::clone(tokens)))),
            _ => None,
        }
    }
}

impl Authenticated {
    /// A user of the users file.
    fn user(username: &str) -> Self {
        Self {
            username: Some(username.to_owned()),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;
