// Keeps the camera on one vehicle until the user takes the map, presses Esc or the vehicle is gone.

import { type LngLat, latOf, lngOf, mercatorX, mercatorY } from '../core/mercator';
import type { Store } from '../core/store';
import { calm } from '../media';
import type { View } from './view';

/** The camera closes in by 1/e in so long. */
const EASE_S = 0.12;
/** A map that takes longer for a frame can't move with every one: the camera then goes in steps. */
const SLOW_FRAME_MS = 90;
/** So many moved frames tell. */
const FRAMES_TO_JUDGE = 5;
/** Share of the smaller side of the screen that the vehicle may go from the centre before a step. */
const LEASH = 0.22;
const STEP_PAUSE_MS = 1_000;
/** Not worth a new picture of the map. */
const SLACK_PX = 0.4;

export class Follow {
  plate: string | undefined;
  #view: View;
  #store: Store;
  #zoom: number;
  #changed: () => void;
  #lastMs = 0;
  #frameMs = 0;
  #frames = 0;
  #nextStepMs = 0;

  /** Where one is closer than `zoom` already, a follow that starts leaves it so. */
  constructor(view: View, store: Store, zoom: number, changed: () => void) {
    this.#zoom = zoom;
    this.#view = view;
    this.#store = store;
    this.#changed = changed;
  }

  start(plate: string, zoom?: number): void {
    this.plate = plate;
    this.#frameMs = 0;
    this.#frames = 0;
    this.#view.holdCentre(true);
    const shown = this.#store.shown(plate, performance.now());
    if (shown) this.#view.flyTo(shown, zoom ?? Math.max(this.#zoom, this.#view.zoom()));
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
    if (this.#view.isBusy()) return;
    const shown = this.#store.shown(this.plate, nowMs);
    if (!shown) return;
    this.#approach(shown, nowMs, elapsedMs);
  }

  #approach(shown: LngLat, nowMs: number, elapsedMs: number): void {
    const camera = this.#view.camera();
    const x = mercatorX(shown.lng);
    const y = mercatorY(shown.lat);
    const awayPx = Math.hypot(x - camera.x, y - camera.y) * camera.scale;
    // Judged once per follow: in steps the frames are quick again, and it would go back and forth.
    const slow = this.#frames >= FRAMES_TO_JUDGE && this.#frameMs > SLOW_FRAME_MS;
    if (calm() || slow) {
      if (awayPx < Math.min(innerWidth, innerHeight) * LEASH || nowMs < this.#nextStepMs) return;
      this.#nextStepMs = nowMs + STEP_PAUSE_MS;
      this.#view.centre(shown);
    } else if (awayPx > SLACK_PX) {
      this.#frames++;
      this.#frameMs += (elapsedMs - this.#frameMs) / Math.min(this.#frames, FRAMES_TO_JUDGE);
      const share = 1 - Math.exp(-elapsedMs / 1000 / EASE_S);
      this.#view.centre({
        lng: lngOf(camera.x + (x - camera.x) * share),
        lat: latOf(camera.y + (y - camera.y) * share),
      });
    }
  }
}
