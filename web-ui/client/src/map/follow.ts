// Keeps the camera on one vehicle until the user takes the map, presses Esc or the vehicle is gone.

import { type LngLat, latOf, lngOf, mercatorX, mercatorY } from '../core/mercator';
import type { Store } from '../core/store';
import { calm } from '../media';
import type { View } from './view';

/** Closer than this, a follow that starts leaves the zoom as it is. */
const FOLLOW_ZOOM = 15.5;
/** The camera closes in by 1/e in so long. */
const EASE_S = 0.12;
/** Below this frame rate the map paints too slowly to move with every frame: then in steps. */
const SLOW_FRAME_MS = 90;
/** Share of the smaller side of the screen that the vehicle may go from the centre before a step. */
const LEASH = 0.22;
const STEP_PAUSE_MS = 1_000;
/** Not worth a new picture of the map. */
const SLACK_PX = 0.4;

export class Follow {
  plate: string | undefined;
  #view: View;
  #store: Store;
  #changed: () => void;
  #lastMs = 0;
  #frameMs = 16;
  #nextStepMs = 0;

  constructor(view: View, store: Store, changed: () => void) {
    this.#view = view;
    this.#store = store;
    this.#changed = changed;
  }

  start(plate: string, zoom?: number): void {
    this.plate = plate;
    this.#view.holdCentre(true);
    const shown = this.#store.shown(plate, performance.now());
    if (shown) this.#view.flyTo(shown, zoom ?? Math.max(FOLLOW_ZOOM, this.#view.zoom()));
    this.#changed();
  }

  stop(): void {
    if (this.plate === undefined) return;
    this.plate = undefined;
    this.#view.holdCentre(false);
    this.#changed();
  }

  /** One frame. */
  step(nowMs: number): void {
    const elapsedMs = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    if (this.plate === undefined || elapsedMs > 1_000) return;
    this.#frameMs += (elapsedMs - this.#frameMs) * 0.1;
    if (this.#view.isBusy()) return;
    const shown = this.#store.shown(this.plate, nowMs);
    if (!shown) return;
    this.#approach(shown, nowMs, elapsedMs / 1000);
  }

  #approach(shown: LngLat, nowMs: number, elapsed: number): void {
    const camera = this.#view.camera();
    const x = mercatorX(shown.lng);
    const y = mercatorY(shown.lat);
    const awayPx = Math.hypot(x - camera.x, y - camera.y) * camera.scale;
    if (calm() || this.#frameMs > SLOW_FRAME_MS) {
      if (awayPx < Math.min(innerWidth, innerHeight) * LEASH || nowMs < this.#nextStepMs) return;
      this.#nextStepMs = nowMs + STEP_PAUSE_MS;
      this.#view.centre(shown);
    } else if (awayPx > SLACK_PX) {
      const share = 1 - Math.exp(-elapsed / EASE_S);
      this.#view.centre({
        lng: lngOf(camera.x + (x - camera.x) * share),
        lat: latOf(camera.y + (y - camera.y) * share),
      });
    }
  }
}
