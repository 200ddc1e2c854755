use super::samples::{EC, EC_TOKEN, RSA, RSA_PSS_TOKEN, RSA_TOKEN};
use super::*;
use crate::auth::tests::jwt;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use std::io::Write;

const KEY: &str = "a secret of thirty-two bytes at least";
const HMAC: &[&str] = &[
    "--jwt-verification-key=a secret of thirty-two bytes at least",
    "--jwt-verification-key-algorithm=HmacSHA256",
];

fn tokens(flags: &[&str]) -> Tokens {
    Tokens::new(&jwt(flags)).unwrap().unwrap()
}

fn with(more: &[&'static str]) -> Tokens {
    tokens(&[HMAC, more].concat())
}

fn signed_by(key: &str, algorithm: Algorithm, claims: &Value) -> String {
    let key = EncodingKey::from_secret(key.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

fn signed(claims: &Value) -> String {
    signed_by(KEY, Algorithm::HS256, claims)
}

/// Seconds from now.
fn at(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

fn refused(tokens: &Tokens, claims: &Value) -> String {
    let error = tokens.verify(signed(claims).as_bytes()).unwrap_err();
    error.to_string()
}

#[test]
fn a_token_says_who_its_bearer_is() {
    let tokens = with(&[
        "--jwt-groups-claim-name=groups",
        "--jwt-organization-claim=org",
        "--jwt-principal-claim=email",
        "--jwt-subject-username-extraction-regex=([^@]+)@acme.com",
    ]);
    let expires = at(1000);
    let claims = json!({"email": "ann@acme.com", "exp": expires, "nbf": at(-5), "groups": ["desk", "staff"], "org": "acme"});
    assert_eq!(
        tokens.verify(signed(&claims).as_bytes()),
        Ok(Authenticated {
            username: Some("ann".into()),
            groups: vec!["desk".into(), "staff".into()],
            organization: Some("acme".into()),
            expires: Some(UNIX_EPOCH + Duration::from_secs(expires as u64)),
        })
    );
    let claims = json!({"email": "ann@acme.com", "exp": expires, "groups": "desk"});
    let who = tokens.verify(signed(&claims).as_bytes()).unwrap();
    assert_eq!((who.groups, who.organization), (vec!["desk".into()], None));
}

#[test]
fn what_a_token_lacks_is_refused() {
    let missing = "claim `sub` is missing or not of the right kind";
    let tokens = with(&[
        "--jwt-groups-claim-name=groups",
        "--jwt-organization-claim=org",
    ]);
    for (claims, reason) in [
        (json!({"sub": "ann", "exp": at(-1)}), "expired"),
        (json!({"sub": "ann"}), "claim `exp` is missing"),
        (
            json!({"sub": "ann", "exp": "soon"}),
            "claim `exp` is missing",
        ),
        (
            json!({"sub": "ann", "exp": at(900), "nbf": at(600)}),
            "not valid yet",
        ),
        (
            json!({"sub": "ann", "exp": at(900), "nbf": "x"}),
            "claim `nbf` is missing or not of the right kind",
        ),
        (json!({"exp": at(900)}), missing),
        (json!({"sub": 7, "exp": at(900)}), missing),
        (json!({"sub": "", "exp": at(900)}), missing),
        (
            json!({"sub": "ann", "exp": at(900), "groups": ["a", 1]}),
            "claim `groups` is missing or not of the right kind",
        ),
        (
            json!({"sub": "ann", "exp": at(900), "org": ["a"]}),
            "claim `org` is missing or not of the right kind",
        ),
    ] {
        assert_eq!(refused(&tokens, &claims), reason, "{claims}");
    }
    let tokens = with(&["--jwt-subject-username-extraction-regex=user-(.+)"]);
    let claims = json!({"sub": "no user-ann", "exp": at(900)});
    assert_eq!(
        refused(&tokens, &claims),
        "claim `sub` does not match JWT_SUBJECT_USERNAME_EXTRACTION_REGEX"
    );
}

#[test]
fn audience_and_issuer_are_checked_when_they_are_set() {
    let strict = with(&["--jwt-audience=convoy", "--jwt-expected-issuer=https://id"]);
    let claims = |audience: Value, issuer: Value| json!({"sub": "ann", "exp": at(900), "aud": audience, "iss": issuer});
    let right = claims(json!(["x", "convoy"]), json!("https://id"));
    assert!(strict.verify(signed(&right).as_bytes()).is_ok());
    assert!(with(&[]).verify(signed(&right).as_bytes()).is_ok());
    for (claims, reason) in [
        (
            claims(json!("x"), json!("https://id")),
            "not for JWT_AUDIENCE",
        ),
        (
            claims(json!([]), json!("https://id")),
            "not for JWT_AUDIENCE",
        ),
        (
            claims(json!("convoy"), json!("https://x")),
            "not of JWT_EXPECTED_ISSUER",
        ),
        (
            claims(Value::Null, json!("https://id")),
            "claim `aud` is missing",
        ),
        (
            claims(json!("convoy"), Value::Null),
            "claim `iss` is missing",
        ),
    ] {
        assert_eq!(refused(&strict, &claims), reason, "{claims}");
    }
}

#[test]
fn only_the_algorithm_and_the_key_of_the_settings_are_right() {
    let claims = json!({"sub": "ann", "exp": at(900)});
    let wrong = "an algorithm that is not of JWT_VERIFICATION_KEY_ALGORITHM";
    let hmac = with(&[]);
    let reason = |tokens: &Tokens, token: &str| {
        let error = tokens.verify(token.as_bytes()).unwrap_err();
        error.to_string()
    };
    let other_hash = signed_by(KEY, Algorithm::HS512, &claims);
    assert_eq!(reason(&hmac, &other_hash), wrong);
    let other_key = signed_by("x", Algorithm::HS256, &claims);
    assert_eq!(reason(&hmac, &other_key), "wrong signature");
    let token = signed(&claims);
    let (message, _) = token.rsplit_once('.').unwrap();
    for cut in [
        "",
        "a",
        "a.b",
        "a.b.c",
        message,
        &format!("{message}."),
        &token[..token.len() - 4],
    ] {
        assert!(hmac.verify(cut.as_bytes()).is_err(), "{cut}");
    }
    assert!(hmac.verify(b"\xff.\xff.\xff").is_err());

    // Without a signature.
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["none", "None", "NONE", ""] {
        let none = format!("{}.{}.", part(&json!({"alg": algorithm})), part(&claims));
        assert!(hmac.verify(none.as_bytes()).is_err(), "{algorithm}");
    }

    // Signed with the public key as if it were a secret.
    let rsa_key = format!("--jwt-verification-key={RSA}");
    let rsa = tokens(&[&rsa_key, "--jwt-verification-key-algorithm=RSA"]);
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        assert_eq!(reason(&rsa, &signed_by(RSA, algorithm, &claims)), wrong);
        assert_eq!(
            reason(&rsa, &signed_by(RSA.trim(), algorithm, &claims)),
            wrong
        );
    }
}

#[test]
fn public_keys_come_as_pem_base64_or_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(EC.as_bytes()).unwrap();
    let path = format!("--jwt-verification-key-path={}", file.path().display());
    let text = |pem: &str| format!("--jwt-verification-key={pem}");
    let base64 = |text: &str| format!("--jwt-verification-key-base64={text}");
    let der: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
    for (key, algorithm, token) in [
        (text(RSA), "RSA", RSA_TOKEN),
        (text(RSA), "SHA256withRSA", RSA_TOKEN),
        (text(RSA), "PS256", RSA_PSS_TOKEN),
        (base64(&der), "RS256", RSA_TOKEN),
        (base64(&STANDARD.encode(RSA)), "RSA", RSA_TOKEN),
        (text(EC), "ECDSA", EC_TOKEN),
        (path, "ES256", EC_TOKEN),
    ] {
        let algorithm = format!("--jwt-verification-key-algorithm={algorithm}");
        let tokens = tokens(&[&key, &algorithm]);
        let who = tokens.verify(token.as_bytes()).unwrap();
        assert_eq!(who.username.as_deref(), Some("ann"));
        let changed = token.replace(".ey", ".eyA");
        assert!(tokens.verify(changed.as_bytes()).is_err());
        let others = [RSA_TOKEN, RSA_PSS_TOKEN, EC_TOKEN];
        for other in others.iter().filter(|other| **other != token) {
            assert!(tokens.verify(other.as_bytes()).is_err());
        }
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(format!("{KEY}\r\n").as_bytes()).unwrap();
    let path = format!("--jwt-verification-key-path={}", file.path().display());
    let tokens = tokens(&[&path, "--jwt-verification-key-algorithm=HmacSHA256"]);
    let claims = json!({"sub": "ann", "exp": at(900)});
    assert!(tokens.verify(signed(&claims).as_bytes()).is_ok());
}

#[test]
fn wrong_settings_say_what_would_be_right() {
    let rsa = format!("--jwt-verification-key={RSA}");
    let private = rsa.replace("PUBLIC", "PRIVATE");
    let ec = format!("--jwt-verification-key={EC}");
    let long = "--jwt-verification-key=a secret of thirty-two bytes at least";
    let algorithm = |name: &str| format!("--jwt-verification-key-algorithm={name}");
    for (flags, reason) in [
        (
            vec![],
            "JWT_VERIFICATION_KEY_ALGORITHM: `` is not HmacSHA256",
        ),
        (
            vec![algorithm("none")],
            "JWT_VERIFICATION_KEY_ALGORITHM: `none` is not HmacSHA256",
        ),
        (
            vec![algorithm("RSA")],
            "tokens need a key; set one of JWT_VERIFICATION_KEY, ",
        ),
        (
            vec![
                algorithm("RSA"),
                rsa.clone(),
                "--jwt-verification-key-path=/x".into(),
            ],
            "set only one of JWT_VERIFICATION_KEY, ",
        ),
        (
            vec![
                algorithm("HmacSHA256"),
                "--jwt-verification-key=short".into(),
            ],
            "JWT_VERIFICATION_KEY: the secret has 5 bytes; RFC 7518 asks for 32 at least",
        ),
        (
            vec![algorithm("HmacSHA512"), long.into()],
            "JWT_VERIFICATION_KEY: the secret has 37 bytes; RFC 7518 asks for 64 at least",
        ),
        (
            vec![algorithm("HmacSHA256"), rsa.clone()],
            "JWT_VERIFICATION_KEY: a public key is no secret",
        ),
        (
            vec![algorithm("RSA"), long.into()],
            "JWT_VERIFICATION_KEY: not a public key of JWT_",
        ),
        (
            vec![algorithm("RSA"), private],
            "JWT_VERIFICATION_KEY: not a public key of JWT_",
        ),
        (
            vec![algorithm("RSA"), ec.clone()],
            "JWT_VERIFICATION_KEY: not a public key of JWT_",
        ),
        (
            vec![algorithm("ECDSA"), rsa],
            "JWT_VERIFICATION_KEY: not a public key of JWT_",
        ),
        (
            vec![algorithm("ES384"), ec],
            "JWT_VERIFICATION_KEY: not a public key of JWT_",
        ),
        (
            vec![algorithm("RSA"), "--jwt-verification-key-base64=?".into()],
            "JWT_VERIFICATION_KEY_BASE64: not base64",
        ),
        (
            vec![
                algorithm("RSA"),
                "--jwt-verification-key-path=/no/such".into(),
            ],
            "JWT_VERIFICATION_KEY_PATH: can't read /no/such: ",
        ),
        (
            vec![
                algorithm("HmacSHA256"),
                long.into(),
                "--jwt-subject-username-extraction-regex=user-.+".into(),
            ],
            "JWT_SUBJECT_USERNAME_EXTRACTION_REGEX: `user-.+` has no group",
        ),
        (
            vec![
                algorithm("HmacSHA256"),
                long.into(),
                "--jwt-subject-username-extraction-regex=(".into(),
            ],
            "JWT_SUBJECT_USERNAME_EXTRACTION_REGEX: `(` ",
        ),
    ] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let error = Tokens::new(&jwt(&flags)).err().unwrap().to_string();
        assert!(error.starts_with(reason), "`{error}` is not `{reason}`");
        assert!(
            !error.contains("thirty-two") && !error.contains("MII"),
            "{error}"
        );
    }
}

#[test]
fn the_method_takes_a_token_in_one_step() {
    let tokens = Arc::new(with(&[]));
    let token = signed(&json!({"sub": "ann", "exp": at(900)}));
    let mut exchange = OneStep::new(Arc::clone(&tokens));
    assert!(matches!(
        exchange.step(token.as_bytes()),
        Step::Done { who, data: None } if who.username.as_deref() == Some("ann")
    ));
    let refused = Step::Refused(ReasonCode::NOT_AUTHORIZED);
    assert_eq!(OneStep::new(tokens).step(b""), refused);
}
