//! The key that tokens are verified with, and the algorithms it is for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use service::BadSetting;

use super::settings::JwtConfig;

const ALGORITHM: &str = "JWT_VERIFICATION_KEY_ALGORITHM";

/// Reads the key.
pub(super) fn load(config: &JwtConfig) -> Result<(DecodingKey, Vec<Algorithm>), BadSetting> {
    let algorithms = algorithms(config.jwt_verification_key_algorithm.as_deref())?;
    let family = algorithms[0].family();
    let (setting, bytes) = bytes(config, family)?;
    let wrong = |reason: &str| BadSetting(format!("{setting}: {reason}"));
    let is_pem = bytes.starts_with(b"-----BEGIN ");
    if family == AlgorithmFamily::Hmac {
        // A public key as the secret would let everybody sign.
        if is_pem {
            return Err(wrong("a public key is no secret; HMAC needs one"));
        }
        let least = bytes_min(algorithms[0]);
        if bytes.len() < least {
            return Err(wrong(&format!(
                "the secret has {} bytes; RFC 7518 asks for {least} at least",
                bytes.len()
            )));
        }
        return Ok((DecodingKey::from_secret(&bytes), algorithms));
    }
    let pem = if is_pem {
        bytes
    } else {
        let der = STANDARD.encode(&bytes);
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n").into_bytes()
    };
    let is_public = String::from_utf8_lossy(&pem)
        .lines()
        .next()
        .is_some_and(|line| line.contains("PUBLIC KEY"));
    let key = match family {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(&pem),
        _ => DecodingKey::from_ec_pem(&pem),
    };
    let fits = |key: &DecodingKey| {
        // What the signature is does not matter: an error is the key's.
        let mut tried = algorithms
            .iter()
            .map(|algorithm| jsonwebtoken::crypto::verify("AA", b"", key, *algorithm));
        tried.any(|result| result.is_ok())
    };
    match key {
        Ok(key) if is_public && fits(&key) => Ok((key, algorithms)),
        _ => Err(wrong(&format!(
            "not a public key of {ALGORITHM} in PEM, which begins with -----BEGIN PUBLIC KEY-----"
        ))),
    }
}

/// The bytes of the key and the setting they are of.
fn bytes(
    config: &JwtConfig,
    family: AlgorithmFamily,
) -> Result<(&'static str, Vec<u8>), BadSetting> {
    let names = [
        "JWT_VERIFICATION_KEY",
        "JWT_VERIFICATION_KEY_BASE64",
        "JWT_VERIFICATION_KEY_PATH",
    ];
    match (
        &config.jwt_verification_key,
        &config.jwt_verification_key_base64,
        &config.jwt_verification_key_path,
    ) {
        (Some(key), None, None) => Ok((names[0], key.expose().as_bytes().to_vec())),
        (None, Some(key), None) => {
            let text: String = key.expose().split_whitespace().collect();
            let bytes = STANDARD.decode(text);
            let bytes = bytes.map_err(|_| BadSetting(format!("{}: not base64", names[1])))?;
            Ok((names[1], bytes))
        }
        (None, None, Some(path)) => {
            let mut bytes = std::fs::read(path).map_err(|error| {
                BadSetting(format!(
                    "{}: can't read {}: {error}",
                    names[2],
                    path.display()
                ))
            })?;
            if family == AlgorithmFamily::Hmac {
                let end = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
                let end = end.strip_suffix(b"\r").unwrap_or(end);
                bytes.truncate(end.len());
            }
            Ok((names[2], bytes))
        }
        (None, None, None) => Err(BadSetting(format!(
            "tokens need a key; set one of {}",
            names.join(", ")
        ))),
        _ => Err(BadSetting(format!("set only one of {}", names.join(", ")))),
    }
}

/// All of one family.
fn algorithms(name: Option<&str>) -> Result<Vec<Algorithm>, BadSetting> {
    use Algorithm::{ES256, ES384, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};
    let name = name.unwrap_or_default();
    Ok(match name.to_ascii_lowercase().as_str() {
        "hmacsha256" | "hs256" => vec![HS256],
        "hmacsha384" | "hs384" => vec![HS384],
        "hmacsha512" | "hs512" => vec![HS512],
        "rsa" => vec![RS256, RS384, RS512],
        "sha256withrsa" | "rsasha256" | "rs256" => vec![RS256],
        "sha384withrsa" | "rsasha384" | "rs384" => vec![RS384],
        "sha512withrsa" | "rsasha512" | "rs512" => vec![RS512],
        "ps256" => vec![PS256],
        "ps384" => vec![PS384],
        "ps512" => vec![PS512],
        "ecdsa" => vec![ES256, ES384],
        "sha256withecdsa" | "ecdsasha256" | "es256" => vec![ES256],
        "sha384withecdsa" | "ecdsasha384" | "es384" => vec![ES384],
        _ => {
            return Err(BadSetting(format!(
                "{ALGORITHM}: `{name}` is not HmacSHA256, HmacSHA384, HmacSHA512, RSA, ECDSA or one of --help"
            )));
        }
    })
}

/// The least secret of an HMAC algorithm (RFC 7518 §3.2).
fn bytes_min(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}
