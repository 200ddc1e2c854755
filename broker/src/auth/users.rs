//! The users file: a line is `user=password`, with the password in clear text or as a verifier.

use std::collections::HashMap;
use std::path::Path;

use parking_lot::Mutex;
use service::BadSetting;
use subtle::ConstantTimeEq;

use super::verifier::{Hash, ITERATIONS_MIN, PREFIX, Verifier, hmac};

/// Bytes of a salt that the broker makes, as usual.
pub(super) const SALT_BYTES: usize = 16;

/// Users and passwords. Has no debug output, so that none shows a password.
pub(super) struct Users {
    users: HashMap<String, Password>,
    /// Their names, in order.
    names: Vec<String>,
    /// Known to this process alone.
    secret: Hash,
    /// A fast check of the passwords that the slow one of a verifier has let in.
    let_in: Mutex<HashMap<String, Hash>>,
}

enum Password {
    Clear(String),
    Verifier(Verifier),
}

impl Users {
    /// Reads a users file; empty lines and lines that start with `#` are passed over. Without a file there is nobody.
    ///
    /// # Errors
    /// Which line of which file is wrong.
    pub(super) fn load(path: Option<&Path>) -> Result<Self, BadSetting> {
        let Some(path) = path else {
            return Ok(Self::new(HashMap::new()));
        };
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| BadSetting(format!("can't read users file {name}: {error}")))?;
        let mut users = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong =
                |reason: &str| BadSetting(format!("users file {name} line {}: {reason}", at + 1));
            let (user, password) = match line.split_once('=') {
                Some((user, password)) if !user.trim().is_empty() && !password.is_empty() => {
                    (user.trim(), password)
                }
                _ => return Err(wrong("not user=password")),
            };
            let password = match password.strip_prefix(PREFIX) {
                None => Password::Clear(password.to_owned()),
                Some(verifier) => {
                    Password::Verifier(Verifier::parse(verifier).map_err(|reason| wrong(&reason))?)
                }
            };
            if users.insert(user.to_owned(), password).is_some() {
                return Err(wrong(&format!("user `{user}` stands twice")));
            }
        }
        Ok(Self::new(users))
    }

    fn new(users: HashMap<String, Password>) -> Self {
        let mut names: Vec<String> = users.keys().cloned().collect();
        names.sort();
        Self {
            users,
            names,
            secret: rand::random(),
            let_in: Mutex::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    pub(super) fn has(&self, username: &str) -> bool {
        self.users.contains_key(username)
    }

    /// Whether this is the user's password. For an unknown user it takes as long as for a known one.
    pub(super) fn is_password(&self, username: &str, password: &[u8]) -> bool {
        let is_known = self.has(username);
        let right = match self.password_of(username) {
            None => return false,
            Some(Password::Clear(right)) => right.as_bytes().ct_eq(password).into(),
            Some(Password::Verifier(verifier)) => self.is_of(verifier, username, password),
        };
        right && is_known
    }

    fn is_of(&self, verifier: &Verifier, username: &str, password: &[u8]) -> bool {
        let given = hmac(
            &self.secret,
            &[b"let in", username.as_bytes(), b"\0", password],
        );
        let known = self.let_in.lock().get(username).copied();
        if known.is_some_and(|known| known.ct_eq(&given).into()) {
            return true;
        }
        let is_right = verifier.is_of(password);
        if is_right && self.has(username) {
            self.let_in.lock().insert(username.to_owned(), given);
        }
        is_right
    }

    /// What checks a proof of the user's password, and whether there is such a user: an unknown one gets a verifier that
    /// looks like another user's, so that asking does not tell which users there are.
    pub(super) fn verifier_of(&self, username: &str) -> Option<(Verifier, bool)> {
        let is_known = self.has(username);
        let verifier = match self.password_of(username)? {
            Password::Clear(password) => {
                let salt = self.invented(b"salt", username, SALT_BYTES);
                Verifier::derive(password.as_bytes(), salt, ITERATIONS_MIN)
            }
            Password::Verifier(verifier) if is_known => verifier.clone(),
            Password::Verifier(other) => Verifier {
                salt: self.invented(b"salt", username, other.salt.len()),
                ..other.clone()
            },
        };
        Some((verifier, is_known))
    }

    /// A user's password; for an unknown user that of another one, always the same. `None` when there is no user at all.
    fn password_of(&self, username: &str) -> Option<&Password> {
        self.users.get(username).or_else(|| {
            let number = self.invented(b"other", username, 8);
            let number = number
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            let other = number.checked_rem(self.names.len() as u64)?;
            self.users.get(&self.names[usize::try_from(other).ok()?])
        })
    }

    /// Bytes that are always the same for a user, and that nobody else can know.
    fn invented(&self, purpose: &[u8], username: &str, length: usize) -> Vec<u8> {
        (0u8..=u8::MAX)
            .flat_map(|block| hmac(&self.secret, &[purpose, &[block], username.as_bytes()]))
            .take(length)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn users(text: &str) -> Result<Users, BadSetting> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Users::load(Some(file.path()))
    }

    #[test]
    fn a_user_needs_the_right_password() {
        let users = users("# people\n\nann=secret=1\n").unwrap();
        assert!(users.is_password("ann", b"secret=1"));
        assert!(!users.is_password("ann", b"secret"));
        assert!(!users.is_password("ann", b""));
        assert!(!users.is_password("bob", b"secret=1"));
        assert!(!Users::load(None).unwrap().is_password("ann", b""));
    }

    #[test]
    fn a_password_need_not_stand_in_the_file() {
        let verifier = Verifier::derive(b"pencil", b"salt".to_vec(), ITERATIONS_MIN).to_text();
        let users = users(&format!("ann={verifier}\n")).unwrap();
        assert!(users.is_password("ann", b"pencil"));
        // The second time it goes another way.
        assert!(users.is_password("ann", b"pencil"));
        assert!(!users.is_password("ann", b"pen"));
        assert!(!users.is_password("ann", verifier.as_bytes()));
        // Bob is measured against ann's verifier, and must not get in with her password.
        assert!(!users.is_password("bob", b"pencil"));
        assert!(!users.is_password("bob", b"pencil"));
    }

    #[test]
    fn an_unknown_user_looks_like_a_known_one() {
        let verifier = Verifier::derive(b"pencil", vec![7; 20], 5000).to_text();
        let hashed = users(&format!("ann={verifier}\n")).unwrap();
        let (known, is_known) = hashed.verifier_of("ann").unwrap();
        let (unknown, is_unknown) = hashed.verifier_of("bob").unwrap();
        assert!(is_known && !is_unknown);
        assert_eq!(known.iterations, unknown.iterations);
        assert_eq!(known.salt.len(), unknown.salt.len());
        assert_ne!(known.salt, unknown.salt);
        assert_eq!(unknown.salt, hashed.verifier_of("bob").unwrap().0.salt);

        let clear = users("ann=pencil\n").unwrap();
        let salts = ["ann", "bob"].map(|user| clear.verifier_of(user).unwrap().0.salt);
        assert_eq!(salts[0].len(), salts[1].len());
        assert_eq!(salts[0], clear.verifier_of("ann").unwrap().0.salt);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, reason) in [
            ("ann=x\nbob\n", "line 2: not user=password"),
            ("ann=x\nann=y\n", "line 2: user `ann` stands twice"),
            (
                "ann=SCRAM-SHA-256$1\n",
                "line 1: not SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>",
            ),
        ] {
            let error = users(text).err().unwrap().to_string();
            assert!(error.ends_with(reason), "{error}");
        }
        let missing = Users::load(Some(Path::new("/no/such"))).err().unwrap();
        assert!(
            missing
                .to_string()
                .starts_with("can't read users file /no/such")
        );
    }
}
