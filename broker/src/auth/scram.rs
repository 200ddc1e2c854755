//! SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677): the client proves that it knows the password, and the server
//! that it knows the verifier, without either being sent. Without channel binding, since MQTT has none.
//!
//! ```text
//! client  n,,n=<user>,r=<nonce>
//! server  r=<nonce><more>,s=<salt>,i=<iterations>
//! client  c=biws,r=<nonce><more>,p=<proof>
//! server  v=<signature>
//! ```

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mqtt::ReasonCode;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::users::Users;
use super::verifier::{Hash, Verifier, hmac};
use super::{Authenticated, Exchange, Step};

/// The authentication method.
pub(super) const METHOD: &str = "SCRAM-SHA-256";

/// One exchange.
pub(super) struct Server {
    users: Arc<Users>,
    /// The server's part of the nonce.
    nonce: String,
    state: State,
}

enum State {
    Begun,
    Challenged(Box<Challenge>),
    Over,
}

/// What the last message is checked against.
struct Challenge {
    username: String,
    verifier: Verifier,
    is_known: bool,
    /// What the client said of channel binding and of acting for another user.
    gs2_header: String,
    nonce: String,
    /// The client's first message without that header, and the server's.
    first_messages: String,
}

impl Server {
    pub(super) fn new(users: Arc<Users>) -> Self {
        let nonce = STANDARD.encode(rand::random::<[u8; 24]>());
        Self::with_nonce(users, nonce)
    }

    fn with_nonce(users: Arc<Users>, nonce: String) -> Self {
        Self {
            users,
            nonce,
            state: State::Begun,
        }
    }

    /// `None` refuses.
    fn challenge(&self, first: &str) -> Option<Challenge> {
        let (binding, rest) = first.split_once(',')?;
        // `p` asks for channel binding, and anything else is unknown.
        if !matches!(binding, "n" | "y") {
            return None;
        }
        let (other_user, bare) = rest.split_once(',')?;
        let mut attributes = bare.split(',');
        let username = unescaped(attributes.next()?.strip_prefix("n=")?)?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let is_self = match other_user.strip_prefix("a=") {
            Some(name) => unescaped(name)? == username,
            None => other_user.is_empty(),
        };
        if !is_self || nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (verifier, is_known) = self.users.verifier_of(&username)?;
        let nonce = format!("{nonce}{}", self.nonce);
        let salt = STANDARD.encode(&verifier.salt);
        Some(Challenge {
            first_messages: format!("{bare},r={nonce},s={salt},i={}", verifier.iterations),
            gs2_header: first[..first.len() - bare.len()].to_owned(),
            username,
            verifier,
            is_known,
            nonce,
        })
    }
}

impl Challenge {
    fn message(&self) -> Bytes {
        let salt = STANDARD.encode(&self.verifier.salt);
        format!("r={},s={salt},i={}", self.nonce, self.verifier.iterations).into()
    }

    /// The server's signature, if the client's last message proves the password.
    fn signature(&self, last: &str) -> Option<Hash> {
        let (without_proof, proof) = last.rsplit_once(",p=")?;
        let proof = Hash::try_from(STANDARD.decode(proof).ok()?).ok()?;
        let mut attributes = without_proof.split(',');
        let binding = STANDARD
            .decode(attributes.next()?.strip_prefix("c=")?)
            .ok()?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if binding != self.gs2_header.as_bytes() || nonce != self.nonce {
            return None;
        }
        let all = format!("{},{without_proof}", self.first_messages);
        let signature = hmac(&self.verifier.stored_key, &[all.as_bytes()]);
        let mut client_key = proof;
        client_key
            .iter_mut()
            .zip(signature)
            .for_each(|(key, byte)| *key ^= byte);
        let is_right = Sha256::digest(client_key)[..].ct_eq(&self.verifier.stored_key);
        let is_right: bool = (is_right & Choice::from(u8::from(self.is_known))).into();
        is_right.then(|| hmac(&self.verifier.server_key, &[all.as_bytes()]))
    }
}

impl Exchange for Server {
    fn step(&mut self, data: &[u8]) -> Step {
        // Good for both, CONNACK and DISCONNECT; which step failed is not the client's to know.
        let refused = Step::Refused(ReasonCode::NOT_AUTHORIZED);
        let state = std::mem::replace(&mut self.state, State::Over);
        let Ok(text) = std::str::from_utf8(data) else {
            return refused;
        };
        match state {
            State::Begun => match self.challenge(text) {
                None => refused,
                Some(challenge) => {
                    let message = challenge.message();
                    self.state = State::Challenged(Box::new(challenge));
                    Step::Continue(message)
                }
            },
            State::Challenged(challenge) => match challenge.signature(text) {
                None => refused,
                Some(signature) => Step::Done {
                    who: Authenticated::user(&challenge.username),
                    data: Some(format!("v={}", STANDARD.encode(signature)).into()),
                },
            },
            State::Over => refused,
        }
    }
}

/// A user name: `=2C` is a comma, `=3D` an equals sign, and no other `=` may stand in it.
fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = match part.get(..2)? {
            "2C" => (',', &part[2..]),
            "3D" => ('=', &part[2..]),
            _ => return None,
        };
        text.push(sign);
        text.push_str(rest);
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn users(text: &str) -> Arc<Users> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Arc::new(Users::load(Some(file.path())).unwrap())
    }

    fn sent(step: Step) -> String {
        match step {
            Step::Continue(data) => String::from_utf8(data.to_vec()).unwrap(),
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// The client's last message, with the password, and the signature it expects.
    fn answer(password: &str, header: &str, bare: &str, challenge: &str) -> (String, String) {
        let field = |name: &str| {
            let found = challenge
                .split(',')
                .find_map(|part| part.strip_prefix(name));
            found.unwrap().to_owned()
        };
        let iterations = field("i=").parse().unwrap();
        let salt = STANDARD.decode(field("s=")).unwrap();
        let last = format!("c={},r={}", STANDARD.encode(header), field("r="));
        let all = format!("{bare},{challenge},{last}");
        // The client's own way to the keys, by PBKDF2 from the definition of RFC 8018.
        let mut block = hmac(password.as_bytes(), &[&salt, &[0, 0, 0, 1]]);
        let mut salted = block;
        for _ in 1..iterations {
            block = hmac(password.as_bytes(), &[&block]);
            (0..32).for_each(|at| salted[at] ^= block[at]);
        }
        let client_key = hmac(&salted, &[b"Client Key"]);
        let stored_key: Hash = Sha256::digest(client_key).into();
        let signature = hmac(&stored_key, &[all.as_bytes()]);
        let proof: Vec<u8> = (0..32).map(|at| client_key[at] ^ signature[at]).collect();
        let server_key = hmac(&salted, &[b"Server Key"]);
        (
            format!("{last},p={}", STANDARD.encode(proof)),
            format!(
                "v={}",
                STANDARD.encode(hmac(&server_key, &[all.as_bytes()]))
            ),
        )
    }

    /// A whole exchange of one user with one password.
    fn exchange(users: &Arc<Users>, user: &str, password: &str) -> Step {
        let mut server = Server::new(Arc::clone(users));
        let bare = format!("n={user},r=abc");
        let challenge = sent(server.step(format!("n,,{bare}").as_bytes()));
        let (last, signature) = answer(password, "n,,", &bare, &challenge);
        let step = server.step(last.as_bytes());
        if let Step::Done { data, .. } = &step {
            assert_eq!(data.as_deref(), Some(signature.as_bytes()));
        }
        step
    }

    #[test]
    fn rfc_7677_3_the_example() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::derive(b"pencil", salt, 4096).to_text();
        let users = users(&format!("user={verifier}"));
        let mut server = Server::with_nonce(users, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into());
        assert_eq!(
            sent(server.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(
            server.step(last),
            Step::Done {
                who: Authenticated::user("user"),
                data: Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".into()),
            }
        );
        // Over is over.
        assert_eq!(server.step(last), Step::Refused(ReasonCode::NOT_AUTHORIZED));
    }

    #[test]
    fn only_the_right_password_of_a_known_user_is_let_in() {
        let verifier = Verifier::derive(b"pencil", vec![1; 16], 4096).to_text();
        let users = users(&format!("ann={verifier}\nbob=clear text\na,b=x\n"));
        let refused = Step::Refused(ReasonCode::NOT_AUTHORIZED);
        assert!(matches!(
            exchange(&users, "ann", "pencil"),
            Step::Done { .. }
        ));
        assert!(matches!(
            exchange(&users, "bob", "clear text"),
            Step::Done { .. }
        ));
        assert!(matches!(exchange(&users, "a=2Cb", "x"), Step::Done { .. }));
        assert_eq!(exchange(&users, "ann", "pen"), refused);
        assert_eq!(exchange(&users, "bob", "pencil"), refused);
        // Nobody is whom these are measured against, with whatever password.
        for password in ["pencil", "clear text", "x", ""] {
            for user in ["eve", "mallory", "trent"] {
                assert_eq!(exchange(&users, user, password), refused);
            }
        }
    }

    #[test]
    fn what_is_not_scram_is_refused() {
        let users = users("ann=x\n");
        let refused = Step::Refused(ReasonCode::NOT_AUTHORIZED);
        for first in [
            &b""[..],
            b"\xff",
            b"n",
            b"n,,",
            b"n,,n=ann",
            b"n,,n=ann,r=",
            b"n,,n=,r=abc",
            b"n,,n=a=nn,r=abc",
            b"n,,n=a=2,r=abc",
            b"n,,m=x,n=ann,r=abc",
            b"n,,n=ann,r=a\x01",
            b"n,a=bob,n=ann,r=abc",
            b"p=tls-unique,,n=ann,r=abc",
        ] {
            assert_eq!(Server::new(Arc::clone(&users)).step(first), refused);
        }
        let bare = "n=ann,r=abc";
        let changed: [fn(&str) -> String; 4] = [
            |last| last.replace("c=biws", "c=eSws"),
            |last| last.replace("r=abc", "r=abd"),
            |last| last.replace(",p=", ",x="),
            |last| last.replace(",p=", ",p=AA"),
        ];
        for change in changed {
            let mut server = Server::new(Arc::clone(&users));
            let challenge = sent(server.step(format!("n,,{bare}").as_bytes()));
            let (last, _) = answer("x", "n,,", bare, &challenge);
            assert_eq!(server.step(change(&last).as_bytes()), refused);
        }
        let mut server = Server::new(Arc::clone(&users));
        let challenge = sent(server.step(format!("y,a=ann,{bare}").as_bytes()));
        let (last, _) = answer("x", "y,a=ann,", bare, &challenge);
        assert!(matches!(server.step(last.as_bytes()), Step::Done { .. }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))] // each derives a key, slowly on purpose

        /// What comes before a client has shown who it is comes from anybody.
        #[test]
        fn no_two_messages_that_are_made_up_let_anybody_in(
            first in "(n|y|p|),(a=ann|),(n=)?[a-z=2CD,é]{0,8},(r=)?[!-~]{0,8}",
            last in "(c=)?[a-zA-Z0-9+/=]{0,8},(r=)?[!-~]{0,32}(,p=)?[a-zA-Z0-9+/=]{0,48}",
        ) {
            let mut server = Server::new(users("ann=x\n"));
            let challenged = matches!(server.step(first.as_bytes()), Step::Continue(_));
            let refused = Step::Refused(ReasonCode::NOT_AUTHORIZED);
            prop_assert_eq!(server.step(last.as_bytes()), refused, "{}", challenged);
        }
    }
}
