//! How many files the process may have open: each vehicle's socket is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service::BadSetting;

/// Descriptors for everything else: the runtime, the admin port and those who ask it, files.
const OTHERS: u64 = 64;

/// Raises the soft limit to the hard one and checks that so many vehicles fit below it.
///
/// # Errors
/// When they do not.
pub(crate) fn make_room(vehicles: u32) -> Result<(), BadSetting> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "can't raise the limit of open files to the hard limit");
            limit.current
        }
    };
    check(vehicles, allowed)
}

/// `allowed` is `None` where there is no limit.
fn check(vehicles: u32, allowed: Option<u64>) -> Result<(), BadSetting> {
    let needed = u64::from(vehicles) + OTHERS;
    match allowed {
        Some(allowed) if needed > allowed => Err(BadSetting(format!(
            "{vehicles} vehicles need {needed} open files, but this process may have {allowed}: raise the hard limit \
             (ulimit -Hn) or lower --vehicles to {}",
            allowed.saturating_sub(OTHERS)
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_that_can_not_fit_is_told_what_would() {
        assert!(check(936, Some(1_000)).is_ok());
        assert!(check(1_000_000, None).is_ok());
        let error = check(937, Some(1_000)).unwrap_err().to_string();
        for part in [
            "937 vehicles",
            "1001 open files",
            "may have 1000",
            "--vehicles to 936",
        ] {
            assert!(error.contains(part), "`{error}` lacks `{part}`");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        make_room(1).unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
