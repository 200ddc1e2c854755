// Every vehicle on the page: plate → slot, and flat arrays by slot that the painters read as they are.
//
// Places are mercator offsets from a local origin, because a 32-bit float of whole mercator is 2 m coarse.
// Times inside are seconds since an epoch that moves on, for the same reason.

import type { Companies } from './companies';
import type { Sighting } from './decode';
import { latOf, lngOf, mercatorX, mercatorY, metresPerUnit } from './mercator';
import {
  arrivalTime,
  type Clock,
  FROM_TIME,
  FROM_X,
  FROM_Y,
  PLAYOUT_INTERVALS,
  type Place,
  place,
  put,
  STRIDE,
  send,
  startClock,
  TO_TIME,
  TO_X,
  TO_Y,
} from './motion';
import { Trails } from './trails';

/** Bytes per slot of `look`: company, opacity, hired, unused. */
export const LOOK_STRIDE = 4;
const LOOK_COMPANY = 0;
const LOOK_OPACITY = 1;
const LOOK_HIRED = 2;

/** A vehicle silent for so long is drawn faint, */
export const FADE_AFTER_MS = 30_000;
/** and leaves the map after so long. */
export const REMOVE_AFTER_MS = 90_000;
/** After its Last Will a vehicle stays, faint, for so long. */
export const OFFLINE_REMOVE_AFTER_MS = 20_000;
/** A position so long after the Last Will means that the vehicle is back, whatever the status says. */
const BACK_AFTER_MS = 3_000;
const FAINT = 90;
/** m/s: a move that would be quicker is shown as a jump, not as a flight. */
const SPEED_MAX_MPS = 120;
const EPOCH_MOVES_AFTER_S = 3_600;
const FIRST_CAPACITY = 256;

/** Where a vehicle is drawn. */
export interface Shown {
  lng: number;
  lat: number;
  /** Degrees clockwise from true north, [0, 360). */
  bearing: number;
}

interface Vehicle {
  plate: string;
  latest: Sighting;
  clock: Clock;
  /** Page time of the newest message, ms. */
  seenMs: number;
  /** Page time of the Last Will, ms; 0 while online. */
  offlineMs: number;
}

export class Store {
  /** Segments of all slots, `motion.STRIDE` floats each; see `motion.ts`. */
  motion = new Float32Array(FIRST_CAPACITY * STRIDE);
  /** How each slot looks, `LOOK_STRIDE` bytes each; opacity 0 is an empty slot, or one that isn't shown. */
  look = new Uint8Array(FIRST_CAPACITY * LOOK_STRIDE);
  readonly originX: number;
  readonly originY: number;
  readonly trails = new Trails(FIRST_CAPACITY);
  /** Slots from here on have never been used. */
  slots = 0;
  /** Counts changes of `motion` and `look`. */
  version = 0;

  #companies: Companies;
  #only: string | undefined;
  #slotOf = new Map<string, number>();
  #vehicles: (Vehicle | undefined)[] = [];
  #free: number[] = [];
  /** Page time of second 0 of `motion`, ms. */
  #epochMs: number;
  #scratch: Place = { x: 0, y: 0, bearing: 0 };

  constructor(origin: { lng: number; lat: number }, companies: Companies, nowMs: number) {
    this.originX = mercatorX(origin.lng);
    this.originY = mercatorY(origin.lat);
    this.#companies = companies;
    this.#epochMs = nowMs;
  }

  /** Vehicles on the map, faint ones too. */
  get size(): number {
    return this.#slotOf.size;
  }

  /** Shows the vehicles of one company, or of all. */
  show(only: string | undefined, nowMs: number): void {
    this.#only = only;
    for (let slot = 0; slot < this.slots; slot++) {
      const vehicle = this.#vehicles[slot];
      if (vehicle) this.#paint(slot, vehicle, nowMs);
    }
  }

  /** Forgets all vehicles. */
  clear(): void {
    for (const plate of this.plates()) this.remove(plate);
  }

  /** Page time in the unit of `motion`. */
  seconds(nowMs: number): number {
    return (nowMs - this.#epochMs) / 1000;
  }

  /** Takes in a position, seen at `seenMs` of page time; false when a newer one is known already. */
  update(position: Sighting, nowMs: number, seenMs = nowMs): boolean {
    const slot = this.#slotOf.get(position.plate);
    if (slot === undefined) {
      this.#add(position, nowMs, seenMs);
      return true;
    }
    const vehicle = this.#vehicles[slot]!;
    const { latest } = vehicle;
    // A sequence that starts again with a later time is a restarted vehicle, not an old message. A frame has none.
    const follows = (position.sequence ?? 0) > (latest.sequence ?? Number.POSITIVE_INFINITY);
    if (!follows && position.updateTimestamp <= latest.updateTimestamp) return false;

    const now = this.seconds(nowMs);
    const x = mercatorX(position.current.lng) - this.originX;
    const y = mercatorY(position.current.lat) - this.originY;
    const bearing = (position.bearing * Math.PI) / 180;
    const sent = position.updateTimestamp / 1000;
    const elapsed = Math.max(1, sent - vehicle.clock.sent);
    const arrival = arrivalTime(vehicle.clock, nowMs / 1000, sent) - this.#epochMs / 1000;
    const at = slot * STRIDE;
    const jump =
      Math.hypot(x - this.motion[at + TO_X]!, y - this.motion[at + TO_Y]!) * metresPerUnit(y + this.originY);
    if (jump > SPEED_MAX_MPS * elapsed) {
      put(this.motion, at, now, x, y, bearing);
      this.trails.clear(slot);
    } else {
      const coast = position.speed / 3.6 / metresPerUnit(y + this.originY);
      send(this.motion, at, now, arrival, x, y, bearing, coast);
    }
    this.trails.record(slot, x, y, bearing, now);
    vehicle.latest = position;
    vehicle.seenMs = seenMs;
    if (vehicle.offlineMs > 0 && nowMs - vehicle.offlineMs > BACK_AFTER_MS) vehicle.offlineMs = 0;
    this.#paint(slot, vehicle, nowMs);
    return true;
  }

  /** The vehicle's own word, or its Last Will. */
  setStatus(plate: string, status: 'online' | 'offline', nowMs: number): void {
    const slot = this.#slotOf.get(plate);
    if (slot === undefined) return;
    const vehicle = this.#vehicles[slot]!;
    vehicle.offlineMs = status === 'offline' ? nowMs : 0;
    this.#paint(slot, vehicle, nowMs);
  }

  remove(plate: string): void {
    const slot = this.#slotOf.get(plate);
    if (slot === undefined) return;
    this.#slotOf.delete(plate);
    this.#vehicles[slot] = undefined;
    this.look.fill(0, slot * LOOK_STRIDE, (slot + 1) * LOOK_STRIDE);
    this.trails.clear(slot);
    this.#free.push(slot);
    this.version++;
  }

  /**
   * Fades and removes what has fallen silent; call it about twice a second. Silence counts from `listeningSinceMs`,
   * so that a page that lost its connection doesn't blame the vehicles; undefined while there is no connection.
   */
  sweep(nowMs: number, listeningSinceMs: number | undefined): void {
    for (let slot = 0; slot < this.slots; slot++) {
      const vehicle = this.#vehicles[slot];
      if (!vehicle) continue;
      const silent = listeningSinceMs === undefined ? 0 : nowMs - Math.max(vehicle.seenMs, listeningSinceMs);
      const offline = vehicle.offlineMs > 0 ? nowMs - vehicle.offlineMs : 0;
      if (silent > REMOVE_AFTER_MS || offline > OFFLINE_REMOVE_AFTER_MS) this.remove(vehicle.plate);
      else this.#paint(slot, vehicle, nowMs);
    }
    if (this.seconds(nowMs) > EPOCH_MOVES_AFTER_S) this.#moveEpoch(nowMs);
  }

  /** How many are drawn. */
  drawn(): number {
    let count = 0;
    for (let slot = 0; slot < this.slots; slot++)
      if (this.look[slot * LOOK_STRIDE + LOOK_OPACITY]! > 0) count++;
    return count;
  }

  has(plate: string): boolean {
    return this.#slotOf.has(plate);
  }

  plates(): string[] {
    return [...this.#slotOf.keys()];
  }

  slotOf(plate: string): number | undefined {
    return this.#slotOf.get(plate);
  }

  plateAt(slot: number): string | undefined {
    return this.#vehicles[slot]?.plate;
  }

  /** The newest position of a vehicle and when it came, page time in ms. */
  latest(plate: string): { position: Sighting; seenMs: number; offline: boolean } | undefined {
    const slot = this.#slotOf.get(plate);
    const vehicle = slot === undefined ? undefined : this.#vehicles[slot];
    return vehicle && { position: vehicle.latest, seenMs: vehicle.seenMs, offline: vehicle.offlineMs > 0 };
  }

  /** Where the vehicle is drawn now. */
  shown(plate: string, nowMs: number): Shown | undefined {
    const slot = this.#slotOf.get(plate);
    if (slot === undefined) return undefined;
    const p = place(this.motion, slot * STRIDE, this.seconds(nowMs), this.#scratch);
    const degrees = ((p.bearing * 180) / Math.PI) % 360;
    return {
      lng: lngOf(p.x + this.originX),
      lat: latOf(p.y + this.originY),
      bearing: degrees < 0 ? degrees + 360 : degrees,
    };
  }

  /**
   * The way the vehicle has come, oldest first, up to where it was drawn when its newest message came: the trail never
   * runs ahead of the vehicle. Mercator offsets from the origin.
   */
  trail(plate: string, nowMs: number): [number, number][] {
    const slot = this.#slotOf.get(plate);
    if (slot === undefined) return [];
    const at = slot * STRIDE;
    const drawn = this.motion[at + FROM_TIME]! - this.#vehicles[slot]!.clock.interval * PLAYOUT_INTERVALS;
    const points = this.trails.points(slot, this.seconds(nowMs), drawn);
    points.push([this.motion[at + FROM_X]!, this.motion[at + FROM_Y]!]);
    return points;
  }

  /** Known plates that hold `query`, those that start with it first. */
  search(query: string, limit: number): string[] {
    const wanted = query.trim().toUpperCase();
    if (wanted === '') return [];
    const found = [...this.#slotOf.keys()].filter((plate) => plate.includes(wanted));
    const rank = (plate: string) => (plate.startsWith(wanted) ? 0 : 1);
    return found.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1)).slice(0, limit);
  }

  /** The slot drawn nearest to a place within `reach`, all in mercator offsets from the origin. */
  nearest(x: number, y: number, reach: number, nowMs: number): number | undefined {
    const now = this.seconds(nowMs);
    let best: number | undefined;
    let bestDistance = reach;
    for (let slot = 0; slot < this.slots; slot++) {
      // Empty, or of a company that isn't shown.
      if (this.look[slot * LOOK_STRIDE + LOOK_OPACITY] === 0) continue;
      const p = place(this.motion, slot * STRIDE, now, this.#scratch);
      const distance = Math.hypot(p.x - x, p.y - y);
      if (distance <= bestDistance) {
        best = slot;
        bestDistance = distance;
      }
    }
    return best;
  }

  #add(position: Sighting, nowMs: number, seenMs: number): void {
    const slot = this.#free.pop() ?? this.slots++;
    if (slot * STRIDE >= this.motion.length) this.#grow();
    const clock: Clock = { offset: 0, interval: 0, sent: 0 };
    startClock(clock, nowMs / 1000, position.updateTimestamp / 1000);
    const vehicle: Vehicle = { plate: position.plate, latest: position, clock, seenMs, offlineMs: 0 };
    const x = mercatorX(position.current.lng) - this.originX;
    const y = mercatorY(position.current.lat) - this.originY;
    const bearing = (position.bearing * Math.PI) / 180;
    const now = this.seconds(nowMs);
    put(this.motion, slot * STRIDE, now, x, y, bearing);
    this.trails.record(slot, x, y, bearing, now);
    this.#vehicles[slot] = vehicle;
    this.#slotOf.set(position.plate, slot);
    this.#paint(slot, vehicle, nowMs);
  }

  #paint(slot: number, vehicle: Vehicle, nowMs: number): void {
    const { latest } = vehicle;
    const company = this.#companies.learn(latest.companyName, latest.companyColor, latest.companyShape);
    const faint = vehicle.offlineMs > 0 || nowMs - vehicle.seenMs > FADE_AFTER_MS;
    const at = slot * LOOK_STRIDE;
    this.look[at + LOOK_COMPANY] = Math.min(255, company.index);
    const hidden = this.#only !== undefined && latest.companyName !== this.#only;
    this.look[at + LOOK_OPACITY] = hidden ? 0 : faint ? FAINT : 255;
    this.look[at + LOOK_HIRED] = latest.isHired ? 255 : 0;
    this.version++;
  }

  #grow(): void {
    const motion = new Float32Array(this.motion.length * 2);
    motion.set(this.motion);
    this.motion = motion;
    const look = new Uint8Array(this.look.length * 2);
    look.set(this.look);
    this.look = look;
    this.trails.grow(motion.length / STRIDE);
  }

  #moveEpoch(nowMs: number): void {
    const by = this.seconds(nowMs);
    this.#epochMs = nowMs;
    for (let at = 0; at < this.slots * STRIDE; at += STRIDE) {
      this.motion[at + FROM_TIME]! -= by;
      this.motion[at + TO_TIME]! -= by;
    }
    this.trails.shift(by);
    this.version++;
  }
}
