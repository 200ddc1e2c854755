// `window.convoy`: what the page shows, for tests and for the curious. It reads and never sends.

import { toScreen } from './core/camera';
import type { Counts } from './core/counts';
import type { Inbox } from './core/inbox';
import { report, type State } from './core/link';
import { mercatorX, mercatorY } from './core/mercator';
import type { Store } from './core/store';
import type { Feed } from './feed';
import type { Follow } from './map/follow';
import type { Overlay } from './map/overlay';
import type { View } from './map/view';
import type { Source } from './source';

export interface PageStats {
  /** Vehicles on the page; where they are counted, what the counts say. */
  vehicles: number;
  /** Of them, those that are drawn: the others are of a company that isn't shown. */
  drawn: number;
  /** What the page is subscribed to. */
  filters: string[];
  way: string;
  isFar: boolean;
  messages: number;
  badMessages: number;
  /** Milliseconds since the newest position; null before the first. */
  lastUpdateMs: number | null;
  connection: State;
  following: string | null;
  fps: number;
  webgl: boolean;
  /** Everything of the base map in view has been painted. */
  mapComplete: boolean;
}

/** Where a vehicle is drawn: on the earth and in pixels from the upper left of the map. */
export interface DrawnVehicle {
  lng: number;
  lat: number;
  bearing: number;
  x: number;
  y: number;
}

export interface Probe {
  stats(): PageStats;
  plates(): string[];
  vehicle(plate: string): DrawnVehicle | undefined;
}

declare global {
  interface Window {
    convoy: Probe;
  }
}

interface Parts {
  store: Store;
  inbox: Inbox;
  feed: Feed;
  view: View;
  overlay: Overlay;
  follow: Follow;
  source: Source;
  counts: Counts;
}

export function expose({ store, inbox, feed, view, overlay, follow, source, counts }: Parts): void {
  window.convoy = {
    stats: () => {
      const now = performance.now();
      return {
        vehicles: source.isFar ? counts.vehicles : store.size,
        drawn: store.drawn(),
        filters: [...feed.filters.keys()],
        way: source.way,
        isFar: source.isFar,
        messages: inbox.messages,
        badMessages: inbox.bad,
        lastUpdateMs: inbox.lastPositionMs > 0 ? now - inbox.lastPositionMs : null,
        connection: report(feed.link, now).state,
        following: follow.plate ?? null,
        fps: overlay.fps(),
        webgl: overlay.usesWebGl,
        mapComplete: view.isComplete(),
      };
    },
    plates: () => store.plates(),
    vehicle: (plate) => {
      const shown = store.shown(plate, performance.now());
      if (!shown) return undefined;
      const screen = toScreen(view.camera(), mercatorX(shown.lng), mercatorY(shown.lat));
      return { ...shown, x: screen.x, y: screen.y };
    },
  };
}
