//! Producer ids, never given twice: partitions know producers by them.

use std::io;
use std::path::PathBuf;

use kafka_protocol::ResponseError;
use parking_lot::Mutex;

use crate::storage::{read_number, storage_error, write_atomically};

/// Ids reserved by one write: so many may be skipped at a restart.
const BLOCK: i64 = 1000;

#[derive(Debug)]
pub(crate) struct ProducerIds {
    path: PathBuf,
    /// The next id, and the first that is not reserved.
    state: Mutex<(i64, i64)>,
}

impl ProducerIds {
    pub(crate) fn open(path: PathBuf) -> io::Result<ProducerIds> {
        let reserved = read_number(&path)?.unwrap_or(0);
        Ok(ProducerIds {
            path,
            state: Mutex::new((reserved, reserved)),
        })
    }

    pub(crate) fn next(&self) -> Result<i64, ResponseError> {
        let (next, reserved) = &mut *self.state.lock();
        if next == reserved {
            write_atomically(&self.path, (*reserved + BLOCK).to_string().as_bytes())
                .map_err(storage_error)?;
            *reserved += BLOCK;
        }
        *next += 1;
        Ok(*next - 1)
    }
}
