//! The live map: pages, tiles and the browser client.
