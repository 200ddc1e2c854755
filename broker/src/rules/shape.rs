//! Whether two rules of one Kafka topic may write the same key: what can be told from the rules alone.

/// What is known of all keys of a rule.
#[derive(Debug)]
pub(super) struct KeyShape<'r> {
    /// All begin with it.
    pub(super) head: &'r str,
    /// All end with it.
    pub(super) tail: &'r str,
    /// All have so many `/` at least…
    pub(super) slashes: usize,
    /// …and some have more.
    pub(super) is_open: bool,
}

impl<'r> KeyShape<'r> {
    /// Of a rule whose keys are the MQTT topics that match a filter.
    pub(super) fn of_filter(filter: &'r str) -> Self {
        let wild = |c| matches!(c, '+' | '#');
        let is_open = filter.ends_with('#');
        // `a/#` matches `a`, too.
        let least = filter
            .strip_suffix("/#")
            .or(filter.strip_suffix('#'))
            .unwrap_or(filter);
        Self {
            head: &least[..least.find(wild).unwrap_or(least.len())],
            tail: &filter[filter.rfind(wild).map_or(0, |at| at + 1)..],
            slashes: least.matches('/').count(),
            is_open,
        }
    }

    /// Whether some key may fit both; when in doubt, yes.
    pub(super) fn may_meet(&self, other: &Self) -> bool {
        let (a, b) = (self, other);
        (a.head.starts_with(b.head) || b.head.starts_with(a.head))
            && (a.tail.ends_with(b.tail) || b.tail.ends_with(a.tail))
            && (a.slashes >= b.slashes || a.is_open)
            && (b.slashes >= a.slashes || b.is_open)
    }
}
