use super::*;
use clap::Parser;
use std::io::Write;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    jwt: JwtConfig,
}

pub(super) fn jwt(flags: &[&str]) -> JwtConfig {
    let argv = ["x", "--authentication-method-jwt-enabled=true"];
    Args::parse_from(argv.iter().chain(flags)).jwt
}

fn authentication(users: &str, required: bool, jwt: &JwtConfig) -> Authentication {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(users.as_bytes()).unwrap();
    Authentication::load(Some(file.path()), required, jwt).unwrap()
}

fn no_tokens() -> JwtConfig {
    JwtConfig {
        authentication_method_jwt_enabled: false,
        ..jwt(&[])
    }
}

#[test]
fn anonymous_clients_need_the_setting_and_wrong_passwords_never_pass() {
    let strict = authentication("ann=secret\n", true, &no_tokens());
    assert_eq!(strict.admit(None, None), Err(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(
        strict.admit(Some("ann"), Some(b"secret")),
        Ok(Authenticated::user("ann"))
    );
    let open = authentication("ann=secret\n", false, &no_tokens());
    assert_eq!(open.admit(None, None), Ok(Authenticated::default()));
    let refused = Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    for (user, password) in [
        ("ann", &b"wrong"[..]),
        ("unknown", b"x"),
        ("JWT", b"secret"),
    ] {
        assert_eq!(open.admit(Some(user), Some(password)), refused);
        assert_eq!(open.admit(Some(user), None), refused);
    }
}

#[test]
fn the_methods_are_those_that_somebody_could_use() {
    let key = [
        "--jwt-verification-key=a secret of thirty-two bytes at least",
        "--jwt-verification-key-algorithm=HmacSHA256",
    ];
    for (users, jwt, methods) in [
        ("ann=secret\n", no_tokens(), &["SCRAM-SHA-256"][..]),
        ("", jwt(&key), &["JWT"]),
        ("ann=secret\n", jwt(&key), &["SCRAM-SHA-256", "JWT"]),
        ("", no_tokens(), &[]),
    ] {
        let authentication = authentication(users, true, &jwt);
        for method in [
            "SCRAM-SHA-256",
            "JWT",
            "SCRAM-SHA-1",
            "scram-sha-256",
            "",
            "PLAIN",
        ] {
            let is_open = authentication.begin(method).is_some();
            assert_eq!(is_open, methods.contains(&method), "{method}");
        }
        assert_eq!(authentication.locks_everybody_out(), methods.is_empty());
        assert!(
            methods.contains(&"JWT") || authentication.admit(Some("JWT"), Some(b"x.y.z")).is_err()
        );
    }
}

#[test]
fn a_user_under_whose_name_tokens_come_is_refused() {
    let jwt = jwt(&[
        "--jwt-verification-key=a secret of thirty-two bytes at least",
        "--jwt-verification-key-algorithm=HmacSHA256",
        "--jwt-mqtt-connect-username=ann",
    ]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"ann=secret\n").unwrap();
    let error = Authentication::load(Some(file.path()), true, &jwt)
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .starts_with("user `ann` of the users file could not log in")
    );
}

#[test]
fn a_session_does_not_change_hands() {
    let ann = Identity::new(Authenticated::user("ann"), "c1".into());
    let later = Authenticated {
        groups: vec!["staff".into()],
        ..Authenticated::user("ann")
    };
    let renewed = ann.renewed(later).unwrap();
    assert_eq!(
        (renewed.client_id.as_str(), renewed.groups.len()),
        ("c1", 1)
    );
    for other in [Authenticated::user("bob"), Authenticated::default()] {
        assert_eq!(ann.renewed(other), Err(ReasonCode::NOT_AUTHORIZED));
    }
}

#[test]
fn secrets_are_not_shown() {
    let jwt = jwt(&[
        "--jwt-verification-key=hush",
        "--jwt-verification-key-base64=hush",
    ]);
    assert!(!format!("{jwt:?}").contains("hush"), "{jwt:?}");
}
