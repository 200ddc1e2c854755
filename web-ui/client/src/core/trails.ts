// The way each vehicle has come: a ring of corner points per slot, in one flat array, so that a click shows the
// last minutes at once, also of a vehicle nobody watched. Straight roads need few points, corners get theirs.

import { wrap } from './motion';

const POINTS = 96;
const STRIDE = 3;
const HEAD_STRIDE = 4;
export const TRAIL_S = 300;
/** Radians of turn since the last point that make a new one. */
const TURN = 0.12;
/** Seconds since the last point that make a new one. */
const PAUSE_S = 8;
/** A vehicle that stands adds nothing: mercator, about 1 m. */
const STILL = 2.5e-8;

export class Trails {
  #points: Float32Array;
  #counts: Uint32Array;
  /** Per slot: x and y of the newest place, bearing of the last kept point, time of the newest place. */
  #heads: Float32Array;

  constructor(slots: number) {
    this.#points = new Float32Array(slots * POINTS * STRIDE);
    this.#counts = new Uint32Array(slots);
    this.#heads = new Float32Array(slots * HEAD_STRIDE);
  }

  record(slot: number, x: number, y: number, bearing: number, time: number): void {
    const heads = this.#heads;
    const head = slot * HEAD_STRIDE;
    const count = this.#counts[slot]!;
    if (count === 0) {
      this.#push(slot, x, y, time);
      heads.set([x, y, bearing, time], head);
      return;
    }
    const headX = heads[head]!;
    const headY = heads[head + 1]!;
    if (Math.hypot(x - headX, y - headY) < STILL) return;
    const keptBearing = heads[head + 2]!;
    const keptTime = this.#points[this.#offset(slot, count - 1) + 2]!;
    const turned = Math.abs(wrap(bearing - keptBearing)) > TURN;
    // The place before a turn is the corner; without it the trail would cut across the block.
    if (turned) this.#push(slot, headX, headY, heads[head + 3]!);
    const keep = turned || time - keptTime > PAUSE_S;
    if (keep) this.#push(slot, x, y, time);
    heads.set([x, y, keep ? bearing : keptBearing, time], head);
  }

  /** The points recorded from `TRAIL_S` before `now` until `until`, oldest first. */
  points(slot: number, now: number, until: number): [number, number][] {
    const found: [number, number][] = [];
    const count = this.#counts[slot] ?? 0;
    for (let n = Math.max(0, count - POINTS); n < count; n++) {
      const at = this.#offset(slot, n);
      const time = this.#points[at + 2]!;
      if (now - time <= TRAIL_S && time <= until) found.push([this.#points[at]!, this.#points[at + 1]!]);
    }
    return found;
  }

  clear(slot: number): void {
    this.#counts[slot] = 0;
  }

  grow(slots: number): void {
    this.#points = grown(this.#points, slots * POINTS * STRIDE);
    this.#heads = grown(this.#heads, slots * HEAD_STRIDE);
    const counts = new Uint32Array(slots);
    counts.set(this.#counts);
    this.#counts = counts;
  }

  /** The epoch has moved on by `seconds`. */
  shift(seconds: number): void {
    for (let at = 2; at < this.#points.length; at += STRIDE) this.#points[at]! -= seconds;
    for (let at = 3; at < this.#heads.length; at += HEAD_STRIDE) this.#heads[at]! -= seconds;
  }

  #push(slot: number, x: number, y: number, time: number): void {
    this.#points.set([x, y, time], this.#offset(slot, this.#counts[slot]!));
    this.#counts[slot]!++;
  }

  #offset(slot: number, n: number): number {
    return (slot * POINTS + (n % POINTS)) * STRIDE;
  }
}

function grown(array: Float32Array, length: number): Float32Array<ArrayBuffer> {
  const next = new Float32Array(length);
  next.set(array);
  return next;
}
