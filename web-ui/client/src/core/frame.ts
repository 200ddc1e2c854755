// All vehicles of a map cell in one binary message: what `<prefix>map/<geohash>` carries. docs/map-frames.md has the layout.

import type { Decoded } from './decode';
import { type Bounds, cellBounds } from './geohash';
import type { LngLat } from './mercator';

/** What a frame says: all vehicles of its cell at that time. A vehicle that is in none any more is gone. */
export interface Frame {
  /** Milliseconds since the Unix epoch: the newest position; 0 in an empty frame. */
  time: number;
  /** Vehicles in the cell: more than are listed where the cell is too full. */
  total: number;
  companies: FrameCompany[];
  vehicles: FrameVehicle[];
}

export interface FrameCompany {
  name: string;
  /** A CSS colour, or nothing. */
  color: string;
  /** `circle`, `square`, `triangle`, `diamond`, or nothing for another. */
  shape: string;
}

export interface FrameVehicle {
  plate: string;
  current: LngLat;
  /** Degrees clockwise from true north, [0, 360). */
  bearing: number;
  /** km/h. */
  speed: number;
  /** Milliseconds since the Unix epoch; not older than 65.5 s before the frame's time. */
  timestamp: number;
  /** Index into the frame's companies, if it had room. */
  company: number | undefined;
  isHired: boolean;
  isTruck: boolean;
  /** Alerts. */
  isStopped: boolean;
  isSpeeding: boolean;
  /** 255 also stands for more. */
  passengers: number;
}

const VERSION = 1;
const HEADER_BYTES = 16;
const VEHICLE_BYTES = 14;
const SHAPES = ['circle', 'square', 'triangle', 'diamond'];

/** Reads a frame about the cell with that geohash. */
export function decodeFrame(payload: Uint8Array, geohash: string): Decoded<Frame> {
  const bounds = cellBounds(geohash);
  if (!bounds) return { ok: false, reason: `not a geohash: ${geohash}` };
  try {
    return { ok: true, value: read(payload, bounds) };
  } catch (error) {
    // What a view or a text decoder says of bytes that are not there or not UTF-8, or what we say.
    const reason = error instanceof Error ? error.message : String(error);
    return { ok: false, reason: `not a frame: ${reason}` };
  }
}

function read(payload: Uint8Array, bounds: Bounds): Frame {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const version = view.getUint8(0);
  if (version !== VERSION) throw new Error(`version ${version}, not ${VERSION}`);
  const text = new TextDecoder('utf-8', { fatal: true });
  let at = HEADER_BYTES;
  const textOf = (length: number): string => {
    if (at + length > payload.length) throw new Error('it ends too early');
    const read = text.decode(payload.subarray(at, at + length));
    at += length;
    return read;
  };
  const textHere = (): string => textOf(view.getUint8(at++));

  const time = Number(view.getBigUint64(8, true));
  const companies: FrameCompany[] = [];
  for (let count = view.getUint8(1); count > 0; count--) {
    const shape = SHAPES[view.getUint8(at++)] ?? '';
    companies.push({ name: textHere(), color: textHere(), shape });
  }
  const fixed = at;
  const count = view.getUint16(2, true);
  at += count * VEHICLE_BYTES;
  const vehicles: FrameVehicle[] = [];
  for (let index = 0; index < count; index++) {
    const from = fixed + index * VEHICLE_BYTES;
    const company = view.getUint8(from + 10);
    const flags = view.getUint8(from + 11);
    vehicles.push({
      plate: textOf(view.getUint8(from + 13)),
      current: {
        lat: between(view.getUint16(from, true), bounds.south, bounds.north),
        lng: between(view.getUint16(from + 2, true), bounds.west, bounds.east),
      },
      bearing: view.getUint16(from + 4, true) / 100,
      speed: view.getUint16(from + 6, true) / 10,
      timestamp: time - view.getUint16(from + 8, true),
      company: company < companies.length ? company : undefined,
      isHired: (flags & 1) !== 0,
      isTruck: (flags & 2) !== 0,
      isStopped: (flags & 4) !== 0,
      isSpeeding: (flags & 8) !== 0,
      passengers: view.getUint8(from + 12),
    });
  }
  if (at !== payload.length) throw new Error('it goes on behind its end');
  return { time, total: view.getUint32(4, true), companies, vehicles };
}

function between(part: number, low: number, high: number): number {
  return low + (part / 65535) * (high - low);
}
