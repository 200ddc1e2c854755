//! The tiles used last, as many as fit into a number of bytes.

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;

use super::TileId;

/// What an entry costs beyond its bytes: its key, the list and the table. A guess.
const ENTRY_BYTES: usize = 128;

/// A cache of encoded tiles; an empty tile is worth remembering too.
pub(crate) struct Cache {
    bytes_max: usize,
    entries: Mutex<Entries>,
}

struct Entries {
    tiles: LruCache<TileId, Bytes>,
    bytes: usize,
}

impl Cache {
    /// An empty cache that holds up to `bytes_max`.
    pub(crate) fn new(bytes_max: usize) -> Cache {
        Cache {
            bytes_max,
            entries: Mutex::new(Entries {
                tiles: LruCache::unbounded(),
                bytes: 0,
            }),
        }
    }

    pub(crate) fn get(&self, id: TileId) -> Option<Bytes> {
        self.entries.lock().tiles.get(&id).cloned()
    }

    /// Adds a tile, throws out those not used for longest, and returns how many bytes are held now.
    pub(crate) fn put(&self, id: TileId, tile: Bytes) -> usize {
        let mut entries = self.entries.lock();
        entries.bytes += tile.len() + ENTRY_BYTES;
        if let Some(old) = entries.tiles.put(id, tile) {
            entries.bytes -= old.len() + ENTRY_BYTES;
        }
        while entries.bytes > self.bytes_max
            && let Some((_, old)) = entries.tiles.pop_lru()
        {
            entries.bytes -= old.len() + ENTRY_BYTES;
        }
        entries.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(x: u32) -> TileId {
        TileId { z: 14, x, y: 0 }
    }

    #[test]
    fn the_tiles_used_last_stay_within_the_limit() {
        let cache = Cache::new(2 * (1000 + ENTRY_BYTES));
        let tile = Bytes::from(vec![0; 1000]);
        cache.put(id(1), tile.clone());
        cache.put(id(2), tile.clone());
        assert!(cache.get(id(1)).is_some());
        assert_eq!(cache.put(id(3), tile.clone()), 2 * (1000 + ENTRY_BYTES));
        assert!(cache.get(id(2)).is_none(), "the one not used for longest");
        assert!(cache.get(id(1)).is_some() && cache.get(id(3)).is_some());
        // The same tile again counts once, and one that is too large is not kept.
        assert_eq!(cache.put(id(3), tile), 2 * (1000 + ENTRY_BYTES));
        assert_eq!(cache.put(id(4), Bytes::from(vec![0; 9000])), 0);
    }
}
