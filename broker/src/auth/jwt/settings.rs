//! The settings of tokens, as written.

use std::fmt;
use std::path::PathBuf;

use clap::ArgAction;

/// Settings of JSON web tokens; the key comes in one of three ways.
#[derive(Clone, Debug, clap::Args)]
pub struct JwtConfig {
    /// Let clients in by a JSON web token in the password, or as data of the authentication method JWT
    #[arg(long, env = "AUTHENTICATION_METHOD_JWT_ENABLED", action = ArgAction::Set, default_value_t = false)]
    pub authentication_method_jwt_enabled: bool,
    /// User name under which the password is a token
    #[arg(long, env = "JWT_MQTT_CONNECT_USERNAME", default_value = "JWT")]
    pub jwt_mqtt_connect_username: String,
    /// What must be among the audience of a token (aud); not set: any
    #[arg(long, env = "JWT_AUDIENCE")]
    pub jwt_audience: Option<String>,
    /// Who must have issued a token (iss); not set: whoever has the key
    #[arg(long, env = "JWT_EXPECTED_ISSUER")]
    pub jwt_expected_issuer: Option<String>,
    /// Key that tokens are verified with: the secret of HMAC, or a public key in PEM
    #[arg(long, env = "JWT_VERIFICATION_KEY", hide_env_values = true)]
    pub jwt_verification_key: Option<Secret>,
    /// The same in base64: of the secret, of the PEM, or of a public key in DER
    #[arg(long, env = "JWT_VERIFICATION_KEY_BASE64", hide_env_values = true)]
    pub jwt_verification_key_base64: Option<Secret>,
    /// File with the key; a line end behind an HMAC secret is no part of it
    #[arg(long, env = "JWT_VERIFICATION_KEY_PATH")]
    pub jwt_verification_key_path: Option<PathBuf>,
    /// HmacSHA256, HmacSHA384, HmacSHA512, RSA (of any SHA), SHA256withRSA…, ECDSA, SHA256withECDSA, SHA384withECDSA;
    /// or as in the token: HS256, RS256, PS256, ES256…
    #[arg(long, env = "JWT_VERIFICATION_KEY_ALGORITHM")]
    pub jwt_verification_key_algorithm: Option<String>,
    /// Claim that names the client: its user name
    #[arg(long, env = "JWT_PRINCIPAL_CLAIM", default_value = "sub")]
    pub jwt_principal_claim: String,
    /// Expression that the whole of that claim matches; the user name is what its first group takes
    #[arg(long, env = "JWT_SUBJECT_USERNAME_EXTRACTION_REGEX")]
    pub jwt_subject_username_extraction_regex: Option<String>,
    /// Claim with the client's groups: a list, or one name
    #[arg(long, env = "JWT_GROUPS_CLAIM_NAME")]
    pub jwt_groups_claim_name: Option<String>,
    /// Claim with the client's organization
    #[arg(long, env = "JWT_ORGANIZATION_CLAIM")]
    pub jwt_organization_claim: Option<String>,
}

/// A text that debug output does not show.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
