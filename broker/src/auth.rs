//! Who a client is: the users file.

use std::collections::HashMap;
use std::path::Path;

use service::BadSetting;
use subtle::ConstantTimeEq;

/// Who a client is, once it is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user name; `None` for a client that gave none.
    pub(crate) username: Option<String>,
    /// The client identifier.
    pub(crate) client_id: String,
}

impl Identity {
    /// Whether the client proved who it is.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.username.is_some()
    }
}

/// Users and passwords. Never shown, also not in debug output.
pub(crate) struct Users {
    passwords: HashMap<String, String>,
    required: bool,
}

impl Users {
    /// Reads a users file: a line is `user=password`; empty lines and lines that start with `#` are passed over.
    ///
    /// # Errors
    /// Which line of which file is wrong.
    pub(crate) fn load(path: Option<&Path>, required: bool) -> Result<Self, BadSetting> {
        let Some(path) = path else {
            return Ok(Self {
                passwords: HashMap::new(),
                required,
            });
        };
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| BadSetting(format!("can't read users file {name}: {error}")))?;
        let mut passwords = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once('=') {
                Some((user, password)) if !user.trim().is_empty() && !password.is_empty() => {
                    passwords.insert(user.trim().to_owned(), password.to_owned());
                }
                _ => {
                    return Err(BadSetting(format!(
                        "users file {name} line {}: not user=password",
                        at + 1
                    )));
                }
            }
        }
        Ok(Self {
            passwords,
            required,
        })
    }

    /// Whether nobody can get in.
    pub(crate) fn locks_everybody_out(&self) -> bool {
        self.required && self.passwords.is_empty()
    }

    /// Whether a client may connect. Without a user name it is anonymous, which a setting may forbid; with one, its
    /// password must be right in any case.
    pub(crate) fn admit(&self, username: Option<&str>, password: Option<&[u8]>) -> bool {
        let Some(username) = username else {
            return !self.required;
        };
        let given = password.unwrap_or_default();
        match self.passwords.get(username) {
            Some(known) => known.as_bytes().ct_eq(given).into(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn users(text: &str, required: bool) -> Result<Users, BadSetting> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Users::load(Some(file.path()), required)
    }

    #[test]
    fn a_user_needs_the_right_password() {
        let users = users("# people\n\nann=secret=1\n", true).unwrap();
        assert!(users.admit(Some("ann"), Some(b"secret=1")));
        assert!(!users.admit(Some("ann"), Some(b"secret")));
        assert!(!users.admit(Some("ann"), None));
        assert!(!users.admit(Some("bob"), Some(b"secret=1")));
        assert!(!users.admit(None, None));
    }

    #[test]
    fn anonymous_clients_need_the_setting_and_wrong_passwords_never_pass() {
        let users = users("ann=secret\n", false).unwrap();
        assert!(users.admit(None, None));
        assert!(!users.admit(Some("ann"), Some(b"wrong")));
        assert!(!users.admit(Some("unknown"), Some(b"x")));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let error = users("ann=x\nbob\n", true).err().unwrap().to_string();
        assert!(error.ends_with("line 2: not user=password"), "{error}");
        let missing = Users::load(Some(Path::new("/no/such")), true)
            .err()
            .unwrap();
        assert!(
            missing
                .to_string()
                .starts_with("can't read users file /no/such")
        );
    }
}
