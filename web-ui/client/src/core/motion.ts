// How one vehicle moves on the screen between two messages, as arithmetic on a flat array.
//
// A vehicle has one segment of nine floats:
//
//   FROM_X FROM_Y   TO_X TO_Y   FROM_TIME TO_TIME   FROM_BEARING TURN   COAST
//   mercator, offsets from a local origin   s since the store's epoch   radians clockwise from north   mercator/s
//
// Behind its end, when the next message is late, the vehicle rolls on along its bearing, from COAST down to a stand.
//
// The vertex shader in `map/webgl.ts` evaluates the same formula; `place` is its twin for picking, the
// camera and the canvas without WebGL.

export const STRIDE = 9;
export const FROM_X = 0;
export const FROM_Y = 1;
export const TO_X = 2;
export const TO_Y = 3;
export const FROM_TIME = 4;
export const TO_TIME = 5;
export const FROM_BEARING = 6;
export const TURN = 7;
export const COAST = 8;

/** The speed of a vehicle without news falls by 1/e in so many seconds: it rolls no farther than that at full speed. */
export const COAST_S = 1.2;
/** After so many seconds it stands. */
export const COASTS_FOR_S = 6;

export interface Place {
  x: number;
  y: number;
  /** Radians clockwise from north. */
  bearing: number;
}

/** Where the vehicle of the segment at `at` is drawn at `time`: before the segment at its start, after it rolling on. */
export function place(m: Float32Array, at: number, time: number, out: Place, coasts = true): Place {
  const fromTime = m[at + FROM_TIME]!;
  const span = m[at + TO_TIME]! - fromTime;
  const t = span > 0 ? Math.min(1, Math.max(0, (time - fromTime) / span)) : 1;
  const fromX = m[at + FROM_X]!;
  const fromY = m[at + FROM_Y]!;
  const dx = m[at + TO_X]! - fromX;
  const dy = m[at + TO_Y]! - fromY;
  const fromBearing = m[at + FROM_BEARING]!;
  const turn = m[at + TURN]!;

  // A cubic Hermite curve that leaves and arrives along the directions of travel. The tangents shrink with
  // the angle between direction and chord, so that a reversal is a straight line and never a loop.
  const t2 = t * t;
  const t3 = t2 * t;
  const leave = t3 - 2 * t2 + t;
  const arrive = t3 - t2;
  const sin0 = Math.sin(fromBearing);
  const cos0 = Math.cos(fromBearing);
  const sin1 = Math.sin(fromBearing + turn);
  const cos1 = Math.cos(fromBearing + turn);
  const along0 = Math.max(0, dx * sin0 - dy * cos0) * leave;
  const along1 = Math.max(0, dx * sin1 - dy * cos1) * arrive;
  const step = 3 * t2 - 2 * t3;
  const late = Math.min(COASTS_FOR_S, Math.max(0, time - m[at + TO_TIME]!));
  const rolled = (coasts ? m[at + COAST]! : 0) * COAST_S * (1 - Math.exp(-late / COAST_S));
  out.x = fromX + dx * step + sin0 * along0 + sin1 * (along1 + rolled);
  out.y = fromY + dy * step - cos0 * along0 - cos1 * (along1 + rolled);
  out.bearing = fromBearing + turn * t;
  return out;
}

const scratch: Place = { x: 0, y: 0, bearing: 0 };

/** Puts the vehicle at a place at once: its first message, or one after a gap too wide to be driven. */
export function put(m: Float32Array, at: number, time: number, x: number, y: number, bearing: number): void {
  m[at + FROM_X] = x;
  m[at + FROM_Y] = y;
  m[at + TO_X] = x;
  m[at + TO_Y] = y;
  m[at + FROM_TIME] = time;
  m[at + TO_TIME] = time;
  m[at + FROM_BEARING] = bearing;
  m[at + TURN] = 0;
  m[at + COAST] = 0;
}

/**
 * Sends the vehicle from where it is drawn at `time` to a new place, there at `arrival`, and on with `coast`. Where it
 * has rolled past that place already it waits, so that it is never pulled back while it drives.
 */
export function send(
  m: Float32Array,
  at: number,
  time: number,
  arrival: number,
  x: number,
  y: number,
  bearing: number,
  coast = 0,
): void {
  const now = place(m, at, time, scratch);
  const ahead = (x - now.x) * Math.sin(bearing) - (y - now.y) * Math.cos(bearing);
  const waits = ahead < 0 && -ahead < coast * COAST_S;
  m[at + FROM_X] = now.x;
  m[at + FROM_Y] = now.y;
  m[at + TO_X] = waits ? now.x : x;
  m[at + TO_Y] = waits ? now.y : y;
  m[at + FROM_TIME] = time;
  m[at + TO_TIME] = arrival;
  m[at + FROM_BEARING] = wrap(now.bearing);
  m[at + TURN] = wrap(bearing - now.bearing);
  m[at + COAST] = waits ? 0 : coast;
}

/** The same angle in [-π, π). */
export function wrap(angle: number): number {
  const turns = (angle + Math.PI) / (2 * Math.PI);
  return (turns - Math.floor(turns)) * 2 * Math.PI - Math.PI;
}

/** One vehicle's clock as seen from this page; all in seconds. */
export interface Clock {
  /** Page time minus the vehicle's time, over the fastest messages: the way's shortest delay. */
  offset: number;
  /** Measured interval between messages, by the vehicle's clock. */
  interval: number;
  /** The newest message, by the vehicle's clock. */
  sent: number;
}

/** Intervals to stay behind: one to have somewhere to drive to, a quarter against jitter. */
export const PLAYOUT_INTERVALS = 1.25;
const INTERVAL_MIN_S = 0.1;
const INTERVAL_MAX_S = 10;
const FIRST_INTERVAL_S = 0.5;
/** Of the difference, per message: the offset follows a delay that has grown, but not one late message. */
const OFFSET_DRIFT = 0.02;
const INTERVAL_GAIN = 0.2;
/** A late message is still driven to, in at least this share of an interval: quick, but no jump. */
const CATCH_UP = 0.4;

export function startClock(clock: Clock, now: number, sent: number): void {
  clock.offset = now - sent;
  clock.interval = FIRST_INTERVAL_S;
  clock.sent = sent;
}

/** When to arrive at the place of a message sent at `sent` that came in at `now`. Measures as it goes. */
export function arrivalTime(clock: Clock, now: number, sent: number): number {
  const delay = now - sent;
  clock.offset = delay < clock.offset ? delay : clock.offset + (delay - clock.offset) * OFFSET_DRIFT;
  const interval = sent - clock.sent;
  // A silence says nothing about the pace: only plausible intervals are learned from.
  if (interval >= INTERVAL_MIN_S && interval <= Math.min(INTERVAL_MAX_S, clock.interval * 4)) {
    clock.interval += (interval - clock.interval) * INTERVAL_GAIN;
  }
  clock.sent = sent;
  const due = sent + clock.offset + clock.interval * PLAYOUT_INTERVALS;
  const soonest = now + clock.interval * CATCH_UP;
  const latest = now + clock.interval * PLAYOUT_INTERVALS * 2;
  return Math.min(latest, Math.max(soonest, due));
}
