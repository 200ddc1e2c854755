//! JSON web tokens (RFC 7519): the issuer, not the broker, knows the clients, their groups and organizations.
//!
//! A token comes in the password, under a user name that says so, or as the data of the authentication method `JWT`,
//! which renews it in a connection that is open. One key and one family of algorithms are right: what a token says of
//! its algorithm is compared and never followed.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation};
use mqtt::ReasonCode;
use regex::Regex;
use serde_json::{Map, Value};
use service::BadSetting;

use super::{Authenticated, Exchange, Step};
pub use settings::{JwtConfig, Secret};

mod key;
mod settings;

/// The authentication method.
pub(super) const METHOD: &str = "JWT";

/// How far the issuer's clock may be ahead, for a token that is not valid yet. A guess.
const NOT_BEFORE_LEEWAY: Duration = Duration::from_secs(60);

/// What checks tokens.
pub(super) struct Tokens {
    connect_username: String,
    key: DecodingKey,
    validation: Validation,
    principal_claim: String,
    principal_regex: Option<Regex>,
    groups_claim: Option<String>,
    organization_claim: Option<String>,
}

/// Why a token is refused: for the log, and not for the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0}")]
    Token(String),
    #[error("not valid yet")]
    TooEarly,
    #[error("claim `{0}` is missing or not of the right kind")]
    Claim(String),
    #[error("claim `{0}` does not match JWT_SUBJECT_USERNAME_EXTRACTION_REGEX")]
    Principal(String),
}

impl Tokens {
    /// Checks the settings; `None` when tokens are not enabled.
    ///
    /// # Errors
    /// Which setting is wrong and what would be right.
    pub(super) fn new(config: &JwtConfig) -> Result<Option<Self>, BadSetting> {
        if !config.authentication_method_jwt_enabled {
            return Ok(None);
        }
        let (key, algorithms) = key::load(config)?;
        let mut validation = Validation::new(algorithms[0]);
        validation.algorithms = algorithms;
        // A token that never ends could not be taken back.
        let mut required = vec!["exp"];
        validation.leeway = 0;
        match &config.jwt_audience {
            None => validation.validate_aud = false,
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
        }
        if let Some(issuer) = &config.jwt_expected_issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        let regex = config.jwt_subject_username_extraction_regex.as_deref();
        Ok(Some(Self {
            connect_username: config.jwt_mqtt_connect_username.clone(),
            key,
            validation,
            principal_claim: config.jwt_principal_claim.clone(),
            principal_regex: regex.map(principal_regex).transpose()?,
            groups_claim: config.jwt_groups_claim_name.clone(),
            organization_claim: config.jwt_organization_claim.clone(),
        }))
    }

    /// The user name under which a token comes in the password.
    pub(super) fn connect_username(&self) -> &str {
        &self.connect_username
    }

    /// Who the bearer of a token is.
    pub(super) fn verify(&self, token: &[u8]) -> Result<Authenticated, Refused> {
        let claims: Map<String, Value> = jsonwebtoken::decode(token, &self.key, &self.validation)
            .map_err(reason)?
            .claims;
        if let Some(not_before) = claims.get("nbf") {
            let at = time(not_before).ok_or_else(|| Refused::Claim("nbf".into()))?;
            if at > SystemTime::now() + NOT_BEFORE_LEEWAY {
                return Err(Refused::TooEarly);
            }
        }
        Ok(Authenticated {
            username: Some(self.principal(&claims)?),
            groups: self.groups(&claims)?,
            organization: self.organization(&claims)?,
            expires: claims.get("exp").and_then(time),
        })
    }

    fn principal(&self, claims: &Map<String, Value>) -> Result<String, Refused> {
        let name = &self.principal_claim;
        let wrong = || Refused::Claim(name.clone());
        let whole = claims.get(name).and_then(Value::as_str).ok_or_else(wrong)?;
        let principal = match &self.principal_regex {
            None => whole,
            Some(regex) => regex
                .captures(whole)
                .and_then(|captures| captures.get(1))
                .ok_or_else(|| Refused::Principal(name.clone()))?
                .as_str(),
        };
        if principal.is_empty() {
            return Err(wrong());
        }
        Ok(principal.to_owned())
    }

    /// One group or a list. A list with anything else in it is refused: access rules may deny what a group may do.
    fn groups(&self, claims: &Map<String, Value>) -> Result<Vec<String>, Refused> {
        let Some(name) = &self.groups_claim else {
            return Ok(Vec::new());
        };
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        match claims.get(name) {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(groups)) => groups.iter().map(text).collect(),
            Some(group) => text(group).map(|group| vec![group]),
        }
        .ok_or_else(|| Refused::Claim(name.clone()))
    }

    fn organization(&self, claims: &Map<String, Value>) -> Result<Option<String>, Refused> {
        let claim = self.organization_claim.as_ref();
        match claim.and_then(|name| Some((name, claims.get(name)?))) {
            None | Some((_, Value::Null)) => Ok(None),
            Some((_, Value::String(organization))) => Ok(Some(organization.clone())),
            Some((name, _)) => Err(Refused::Claim(name.clone())),
        }
    }
}

/// The exchange of the method: one message, the token.
pub(super) struct OneStep(Arc<Tokens>);

impl OneStep {
    pub(super) fn new(tokens: Arc<Tokens>) -> Self {
        Self(tokens)
    }
}

impl Exchange for OneStep {
    fn step(&mut self, data: &[u8]) -> Step {
        match self.0.verify(data) {
            Ok(who) => Step::Done { who, data: None },
            Err(reason) => {
                tracing::debug!(%reason, "token refused");
                Step::Refused(ReasonCode::NOT_AUTHORIZED)
            }
        }
    }
}

/// The expression has to match the whole claim: one that only occurs in it could be forged by a longer name.
fn principal_regex(text: &str) -> Result<Regex, BadSetting> {
    let name = "JWT_SUBJECT_USERNAME_EXTRACTION_REGEX";
    let wrong = |reason: &str| BadSetting(format!("{name}: `{text}` {reason}"));
    let regex = Regex::new(&format!("^(?:{text})$")).map_err(|error| {
        let last = error.to_string();
        wrong(last.lines().last().unwrap_or("is not a regular expression"))
    })?;
    // Group 0 is the whole.
    if regex.captures_len() < 2 {
        return Err(wrong(
            "has no group; the user name is what group 1 takes, as in user-(.+)",
        ));
    }
    Ok(regex)
}

/// A NumericDate (RFC 7519 §2); `None` for what is none.
fn time(value: &Value) -> Option<SystemTime> {
    let seconds = value.as_f64()?;
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// In words without anything of the token.
fn reason(error: jsonwebtoken::errors::Error) -> Refused {
    Refused::Token(match error.kind() {
        ErrorKind::ExpiredSignature => "expired".into(),
        ErrorKind::InvalidSignature => "wrong signature".into(),
        ErrorKind::InvalidAlgorithm => {
            "an algorithm that is not of JWT_VERIFICATION_KEY_ALGORITHM".into()
        }
        ErrorKind::InvalidAudience => "not for JWT_AUDIENCE".into(),
        ErrorKind::InvalidIssuer => "not of JWT_EXPECTED_ISSUER".into(),
        ErrorKind::MissingRequiredClaim(claim) => format!("claim `{claim}` is missing"),
        _ => "not a token".into(),
    })
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
