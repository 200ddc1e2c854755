// What the page takes from the broker: keeps the subscriptions in step with the view, the followed vehicle and the way.

import type { Config } from './config';
import { boundsOf, widened } from './core/bounds';
import type { Counts } from './core/counts';
import { Coverage } from './core/coverage';
import type { Frames } from './core/frames';
import type { Bounds } from './core/geohash';
import type { Store } from './core/store';
import { type Way, wanted } from './core/wanted';
import type { Feed } from './feed';
import type { View } from './map/view';

/** Roads go on a little beyond the extract's edge. */
const MAP_MARGIN = 0.1;
/** The first frames of new cells are there by then: no vehicle is one that isn't there. */
const FIRST_FRAMES_MS = 2_000;

/** The part of the world that vehicles drive in. */
export function mapBounds([west, south, east, north]: Config['map']['bounds']): Bounds {
  return widened({ west, south, east, north }, MAP_MARGIN);
}

export class Source {
  readonly coverage: Coverage;
  #prefix: string;
  #way: Way;
  #view: View;
  #feed: Feed;
  #store: Store;
  #frames: Frames;
  #counts: Counts;
  #asked = '';
  #changedMs = 0;

  constructor(
    config: Config,
    way: Way,
    view: View,
    feed: Feed,
    store: Store,
    frames: Frames,
    counts: Counts,
  ) {
    this.coverage = new Coverage(mapBounds(config.map.bounds));
    this.#prefix = config.topicPrefix;
    this.#way = way;
    this.#view = view;
    this.#feed = feed;
    this.#store = store;
    this.#frames = frames;
    this.#counts = counts;
  }

  get way(): Way {
    return this.#way;
  }

  /** Whether vehicles are counted instead of drawn. */
  get isFar(): boolean {
    return this.#way === 'frames' && this.coverage.isFar;
  }

  switchTo(way: Way): void {
    if (way === this.#way) return;
    this.#way = way;
    // Neither way removes what only the other one knows.
    this.#store.clear();
    this.#frames.hold(new Set());
  }

  /** Whether the page has looked for long enough to say that nobody is there. */
  hasLooked(nowMs: number): boolean {
    return nowMs - Math.max(this.#changedMs, this.#feed.link.openedMs) > FIRST_FRAMES_MS;
  }

  /** Brings the subscriptions up to date; `plate` is the vehicle that is followed or looked for. */
  refresh(plate: string | undefined, nowMs: number): void {
    const camera = this.#view.camera();
    const moved = this.coverage.look(boundsOf(camera, innerWidth, innerHeight), camera.scale);
    const asked = `${this.#way} ${plate}`;
    if (!moved && asked === this.#asked) return;
    this.#asked = asked;
    this.#changedMs = nowMs;
    const left = this.#frames.pinned;
    this.#frames.pinned = plate;
    if (this.#way === 'frames') {
      this.#frames.hold(this.coverage.cells);
      // Followed no more, and outside of all cells that are listened to: nobody would remove it.
      if (left !== undefined && left !== plate && !this.#frames.lists(left)) this.#store.remove(left);
    }
    this.#counts.hold(this.coverage.counted);
    this.#feed.want(wanted(this.#prefix, this.#way, this.coverage, plate));
  }
}
