//! Prepared maps on disk, so that the next start is quick.
//!
//! ```text
//! | magic and version (16 bytes) | SHA-256 of the map file (32) | SHA-256 of the rest (32) | the prepared map (postcard) |
//! ```
//!
//! An entry serves the map file whose content it was made from and no other; a changed map overwrites it. Trouble with
//! the cache is never fatal: it costs the time to prepare the map again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fleet::Kind;
use sha2::{Digest, Sha256};

use super::{Error, Prepared};

/// Changes whenever [`Prepared`], or the way it is made, does.
const MAGIC: &[u8; 16] = b"convoy map   003";

/// The place of one prepared map.
pub(super) struct Entry {
    path: PathBuf,
    map_hash: Hash,
}

type Hash = [u8; 32];

impl Entry {
    /// The entry for this map and kind of vehicle: in `dir`, else beside the map, else in the temporary folder.
    ///
    /// # Errors
    /// When the map can't be read.
    pub(super) fn new(map: &Path, dir: Option<PathBuf>, kind: Kind) -> Result<Self, Error> {
        let map_hash = content_hash(map).map_err(|error| Error::open(map, &error))?;
        let stem = map.file_name().unwrap_or_default().to_string_lossy();
        let stem = stem.split('.').next().unwrap_or_default();
        let dir = dir
            .or_else(|| beside(map))
            .unwrap_or_else(|| std::env::temp_dir().join("convoy-map-cache"));
        Ok(Self {
            path: dir.join(format!("{stem}-{kind}.map-cache")),
            map_hash,
        })
    }

    /// The prepared map, if it is there and whole.
    pub(super) fn load(&self) -> Option<Prepared> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.warn("can't read the prepared map", &error.to_string());
                return None;
            }
        };
        match decode(&bytes, &self.map_hash) {
            Ok(prepared) => Some(prepared),
            Err(Unfit::OtherMap) => None,
            Err(Unfit::Damaged) => {
                self.warn("the prepared map is damaged or of another version", "");
                None
            }
        }
    }

    /// Keeps a prepared map: written aside, then renamed, so that no reader ever sees half of it.
    pub(super) fn store(&self, prepared: &Prepared) {
        if let Err(error) = self.try_store(prepared) {
            self.warn("can't keep the prepared map", &error.to_string());
        }
    }

    fn try_store(&self, prepared: &Prepared) -> io::Result<()> {
        let bytes = encode(prepared, &self.map_hash).map_err(io::Error::other)?;
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        // A name that nobody can foresee: the temporary folder belongs to all.
        let mut aside = tempfile::NamedTempFile::new_in(dir)?;
        aside.write_all(&bytes)?;
        aside.as_file().sync_all()?;
        aside.persist(&self.path)?;
        Ok(())
    }

    fn warn(&self, what: &str, reason: &str) {
        let colon = if reason.is_empty() { "" } else { ": " };
        tracing::warn!(
            "{what}{colon}{reason}; preparing it anew ({})",
            self.path.display()
        );
    }
}

/// The folder of the map, unless nobody may write there.
fn beside(map: &Path) -> Option<PathBuf> {
    let dir = map.parent()?;
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    // Root could write to a read-only folder all the same, so the bits are asked first.
    if fs::metadata(dir).ok()?.permissions().readonly() {
        return None;
    }
    let _dropped_at_once = tempfile::tempfile_in(dir).ok()?;
    Some(dir.to_owned())
}

fn content_hash(map: &Path) -> io::Result<Hash> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(map)?, &mut HashWriter(&mut hasher))?;
    Ok(hasher.finalize().into())
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encode(prepared: &Prepared, map_hash: &Hash) -> Result<Vec<u8>, postcard::Error> {
    let body = postcard::to_stdvec(prepared)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(map_hash);
    bytes.extend(Sha256::digest(&body));
    bytes.extend(body);
    Ok(bytes)
}

/// Why an entry does not serve.
#[derive(Debug, PartialEq)]
enum Unfit {
    /// It was made from another content of the map file.
    OtherMap,
    /// It is not what was stored, or another version stored it.
    Damaged,
}

fn decode(bytes: &[u8], map_hash: &Hash) -> Result<Prepared, Unfit> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Unfit::Damaged)?;
    let (made_from, rest) = rest.split_at_checked(32).ok_or(Unfit::Damaged)?;
    let (hash, body) = rest.split_at_checked(32).ok_or(Unfit::Damaged)?;
    if made_from != map_hash {
        return Err(Unfit::OtherMap);
    }
    if Sha256::digest(body).as_slice() != hash {
        return Err(Unfit::Damaged);
    }
    let prepared: Prepared = postcard::from_bytes(body).map_err(|_| Unfit::Damaged)?;
    // The hash keeps accidents out; this keeps out a file that somebody else put into a shared temporary folder.
    if !prepared.is_consistent() {
        return Err(Unfit::Damaged);
    }
    Ok(prepared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::roads_for_tests::grid;

    fn entry(dir: &Path, content: &[u8]) -> Entry {
        let map = dir.join("town.osm.pbf");
        fs::write(&map, content).unwrap();
        Entry::new(&map, None, Kind::Taxi).unwrap()
    }

    #[test]
    fn what_is_stored_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let entry = entry(dir.path(), b"a");
        assert!(entry.load().is_none());
        entry.store(&grid(3, 100.0));
        assert_eq!(entry.load().unwrap(), grid(3, 100.0));
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(names.len(), 2, "the map and its entry: {names:?}");
    }

    #[test]
    fn an_entry_serves_one_content_of_the_map() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (entry(dir.path(), b"a"), entry(dir.path(), b"b"));
        a.store(&grid(3, 100.0));
        assert!(b.load().is_none());
        b.store(&grid(4, 100.0));
        assert_eq!(b.load().unwrap(), grid(4, 100.0));
        assert!(a.load().is_none(), "it has been overwritten");
    }

    #[test]
    fn a_damaged_entry_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let entry = entry(dir.path(), b"a");
        entry.store(&grid(3, 100.0));
        let whole = fs::read(&entry.path).unwrap();
        for at in [0, 20, 60, 90, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&entry.path, &bytes).unwrap();
            assert!(entry.load().is_none(), "byte {at} is wrong");
        }
        fs::write(&entry.path, &whole[..whole.len() / 2]).unwrap();
        assert!(entry.load().is_none());
        fs::write(&entry.path, b"").unwrap();
        assert!(entry.load().is_none());
    }

    #[test]
    fn a_hash_does_not_make_nonsense_consistent() {
        let mut prepared = grid(3, 100.0);
        prepared.roads[0].shape = 1_000_000;
        let bytes = encode(&prepared, &[0; 32]).unwrap();
        assert_eq!(decode(&bytes, &[0; 32]), Err(Unfit::Damaged));
    }

    #[test]
    fn no_cache_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        let map = dir.path().join("town.osm.pbf");
        fs::write(&map, b"a").unwrap();
        let entry = Entry::new(&map, Some(file), Kind::Taxi).unwrap();
        entry.store(&grid(3, 100.0));
        assert!(entry.load().is_none());
    }
}
