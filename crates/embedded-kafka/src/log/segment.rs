//! One file of a partition's log: batches one after the other, named by the offset of the first.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::batch::{self, HEADER_BYTES, Header};
use super::index::Index;

/// Longest batch that recovery believes: a length beyond it is garbage, not a batch.
const BATCH_BYTES_MAX: usize = 1 << 30;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    pub(crate) path: PathBuf,
    /// Opened when needed and closed again when idle: partitions may outnumber file descriptors.
    file: Option<Arc<File>>,
    pub(crate) size: u64,
    /// Largest timestamp of its records and the base offset of their batch; -1 while there are none.
    pub(crate) max_timestamp: i64,
    pub(crate) max_timestamp_batch: i64,
    /// Last offset in it, `base_offset - 1` while empty.
    pub(crate) last_offset: i64,
    pub(crate) index: Index,
    /// Wall clock of the first and the last append, ms since the epoch.
    pub(crate) first_append_ms: i64,
    pub(crate) last_append_ms: i64,
    pub(crate) unsynced: bool,
}

impl Segment {
    /// An empty segment.
    pub(crate) fn create(dir: &Path, base_offset: i64) -> io::Result<Segment> {
        let path = path(dir, base_offset);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        Ok(Segment {
            file: Some(Arc::new(file)),
            ..Segment::blank(path, base_offset)
        })
    }

    /// An empty segment under a name that recovery removes, to be filled and published.
    pub(crate) fn draft(dir: &Path, base_offset: i64) -> io::Result<Segment> {
        let mut segment = Segment::blank(path(dir, base_offset).with_extension("tmp"), base_offset);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&segment.path)?;
        segment.file = Some(Arc::new(file));
        Ok(segment)
    }

    /// Gives a draft its name, in one step.
    pub(crate) fn publish(&mut self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, path)?;
        self.path = path.to_owned();
        self.unsynced = false;
        Ok(())
    }

    fn blank(path: PathBuf, base_offset: i64) -> Segment {
        Segment {
            base_offset,
            path,
            file: None,
            size: 0,
            max_timestamp: -1,
            max_timestamp_batch: base_offset,
            last_offset: base_offset - 1,
            index: Index::default(),
            first_append_ms: 0,
            last_append_ms: 0,
            unsynced: false,
        }
    }

    /// Reads a segment from the start, shows every batch to `on_batch`, and cuts off what does not fit its
    /// checksum: the torn tail of a write that a crash or a power loss interrupted.
    pub(crate) fn recover(
        path: PathBuf,
        base_offset: i64,
        mut on_batch: impl FnMut(&Header, &[u8]),
    ) -> io::Result<Segment> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let metadata = file.metadata()?;
        let mut segment = Segment::blank(path, base_offset);
        let mut reader = BufReader::with_capacity(256 << 10, &file);
        let mut bytes = Vec::new();
        while let Some(header) = read_batch(&mut reader, &mut bytes, metadata.len() - segment.size)?
        {
            if header.base_offset <= segment.last_offset || !batch::checksum_fits(&bytes) {
                break;
            }
            on_batch(&header, &bytes);
            segment.account(&header);
        }
        if segment.size < metadata.len() {
            let cut = metadata.len() - segment.size;
            tracing::warn!(segment = %segment.path.display(), bytes = cut, "cut off a torn tail");
            file.set_len(segment.size)?;
        }
        segment.last_append_ms = unix_ms(metadata.modified()?);
        // The first batch's time stands in for the first append's, which is not stored.
        let first = Header::parse(&segment.read_at(0, HEADER_BYTES)?)
            .map_or(i64::MAX, |header| header.max_timestamp);
        segment.first_append_ms = first.min(segment.last_append_ms);
        Ok(segment)
    }

    /// Appends a batch that has its offset already. The bytes are in the page cache when this returns, so they
    /// survive the end of the process; a failed write is overwritten by the next one.
    pub(crate) fn append(&mut self, header: &Header, bytes: &[u8], now_ms: i64) -> io::Result<()> {
        let at = self.size;
        self.file()?.write_all_at(bytes, at)?;
        if self.size == 0 {
            self.first_append_ms = now_ms;
        }
        self.last_append_ms = now_ms;
        self.unsynced = true;
        self.account(header);
        Ok(())
    }

    fn account(&mut self, header: &Header) {
        self.index.note(
            header.base_offset - self.base_offset,
            self.size,
            self.max_timestamp,
        );
        if header.max_timestamp > self.max_timestamp && !header.is_control() {
            self.max_timestamp = header.max_timestamp;
            self.max_timestamp_batch = header.base_offset;
        }
        self.last_offset = header.last_offset();
        self.size += header.total_bytes as u64;
    }

    /// The file, opened if it is not.
    pub(crate) fn file(&mut self) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(&self.path)?);
        self.file = Some(file.clone());
        Ok(file)
    }

    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    fn read_at(&mut self, position: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len.min((self.size - position) as usize)];
        self.file()?.read_exact_at(&mut bytes, position)?;
        self.close();
        Ok(bytes)
    }

    /// Tells the file system when the newest of its records was appended, so that recovery knows.
    pub(crate) fn set_last_append(&mut self, ms: i64) -> io::Result<()> {
        self.last_append_ms = ms;
        let time = UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        self.file()?.set_modified(time)
    }
}

/// The next whole batch of `reader`; `None` at the end and where no batch fits into the `left` bytes.
pub(crate) fn read_batch(
    reader: &mut impl Read,
    bytes: &mut Vec<u8>,
    left: u64,
) -> io::Result<Option<Header>> {
    if left < HEADER_BYTES as u64 {
        return Ok(None);
    }
    bytes.resize(HEADER_BYTES, 0);
    reader.read_exact(bytes)?;
    let Some(header) = Header::parse(bytes) else {
        return Ok(None);
    };
    if header.total_bytes as u64 > left || header.total_bytes > BATCH_BYTES_MAX {
        return Ok(None);
    }
    bytes.resize(header.total_bytes, 0);
    reader.read_exact(&mut bytes[HEADER_BYTES..])?;
    Ok(Some(header))
}

/// `00000000000000001234.log`, as Kafka names them.
pub(crate) fn path(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(format!("{base_offset:020}.log"))
}

/// The base offset in a segment's name; `None` for other files.
pub(crate) fn base_offset_of(path: &Path) -> Option<i64> {
    if path.extension()? != "log" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

pub(crate) fn now_ms() -> i64 {
    unix_ms(SystemTime::now())
}

fn unix_ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}
