//! The state at a start, from the log alone.

use std::collections::BTreeMap;
use std::str;
use std::time::Duration;

use fleet::CompanyTotal;
use kafka::{Position, Settings};

use crate::run::Feed;

/// How long Kafka may be silent while we read from it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Reads all positions that Kafka holds, has `feed` handle them, and returns where to go on. Blocks.
pub(crate) fn positions(
    settings: &Settings,
    updates_topic: &str,
    feed: &mut Feed,
) -> Result<Vec<Position>, kafka::Error> {
    kafka::read_to_end(settings, updates_topic, PATIENCE, |record| {
        feed.handle(&record)
    })
}

/// Reads the totals that were published last; none for what is no total. Blocks.
pub(crate) fn published(
    settings: &Settings,
    company_topic: &str,
) -> Result<BTreeMap<String, Option<CompanyTotal>>, kafka::Error> {
    let mut published = BTreeMap::new();
    kafka::read_to_end(settings, company_topic, PATIENCE, |record| {
        // A key that is no text can't be a company's: not ours.
        let Some(Ok(company)) = record.key.as_deref().map(str::from_utf8) else {
            return;
        };
        match record.value.as_deref() {
            Some(value) => {
                let total = CompanyTotal::from_json(value).ok();
                published.insert(company.to_owned(), total);
            }
            None => {
                published.remove(company);
            }
        }
    })?;
    Ok(published)
}
