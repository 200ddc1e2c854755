//! How two topic filters relate: is there a topic that both match, does one match all that the other does?

/// Whether some topic name matches both filters.
pub(crate) fn overlaps(a: &str, b: &str) -> bool {
    // A wildcard in front does not match `$…` [MQTT-4.7.2-1].
    let hidden = |x: &str, y: &str| x.starts_with('$') && y.starts_with(['+', '#']);
    if hidden(a, b) || hidden(b, a) {
        return false;
    }
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(x), Some(y)) if x == y => {}
            _ => return false,
        }
    }
}

/// Whether every topic name that `narrow` matches is matched by `wide`, too.
pub(crate) fn covers(wide: &str, narrow: &str) -> bool {
    if narrow.starts_with('$') && wide.starts_with(['+', '#']) {
        return false;
    }
    let (mut wide, mut narrow) = (wide.split('/'), narrow.split('/'));
    loop {
        match (wide.next(), narrow.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(x), Some(y)) if x == y && x != "+" => {}
            _ => return false,
        }
    }
}
