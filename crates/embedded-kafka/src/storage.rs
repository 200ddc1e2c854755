//! Small files, and errors of the disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use kafka_protocol::ResponseError;

/// Replaces a small file so that a crash leaves the old or the new one, never a part.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("tmp");
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&draft, path)?;
    sync_parent(path)
}

/// Brings the names in a file's directory to the disk.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// The number in a small file, if it is there.
pub(crate) fn read_number(path: &Path) -> io::Result<Option<i64>> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} does not hold a number", path.display()),
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A disk that fails or is full: the client may try again, the log says why.
pub(crate) fn storage_error(error: io::Error) -> ResponseError {
    tracing::error!(%error, "log storage failed");
    ResponseError::KafkaStorageError
}
