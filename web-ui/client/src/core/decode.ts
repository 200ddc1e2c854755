// From bytes of the network to checked values. What isn't valid becomes a reason, never an exception.

import type { LngLat } from './mercator';

/** What both a position and a map frame say of a vehicle. */
export interface Sighting {
  plate: string;
  current: LngLat;
  /** km/h. */
  speed: number;
  /** Milliseconds since the Unix epoch, by the vehicle's clock. */
  updateTimestamp: number;
  passengers: number;
  companyName: string;
  companyColor: string;
  companyShape: string;
  isHired: boolean;
  kind: 'taxi' | 'truck';
  /** Degrees clockwise from true north, [0, 360). */
  bearing: number;
  /** Counts this vehicle's messages. */
  sequence?: number;
}

/** One position of one vehicle: the JSON on `<prefix>vehicle_updates/<plate>`. */
export interface Position extends Sighting {
  waypoint: LngLat;
  visible: boolean;
  /** Metres to `waypoint`. */
  distance: number;
  id: string;
  tripId: string;
  destination: LngLat;
  etaSeconds: number;
  sequence: number;
}

/** Totals of the vehicles that go one way: the JSON on `<prefix>direction_stats/<direction>`. Who stands is in none. */
export interface DirectionTotal {
  direction: Direction;
  vehicles: number;
}

export const DIRECTIONS = ['NW', 'NE', 'SW', 'SE'] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** Totals of one map cell: the JSON on `<prefix>cell_stats/<geohash>`. */
export interface CellTotal {
  cell: string;
  vehicles: number;
}

export const ALERTS = ['offline', 'stopped', 'speeding'] as const;

/** What somebody should look at: the JSON on `<prefix>alerts/<kind>/<plate>`. */
export interface Alert {
  kind: (typeof ALERTS)[number];
  plate: string;
  company: string;
  /** km/h. */
  speed: number;
  speedLimit?: number;
  /** Milliseconds since the Unix epoch. */
  beganAt: number;
  /** Missing while it lasts. */
  endedAt?: number;
}

/** Totals of one company: the JSON on `<prefix>company_passengers/<company>`. */
export interface CompanyTotal {
  company: string;
  vehicles: number;
  hired: number;
  passengers: number;
  /** km/h. */
  meanSpeed: number;
  updateTimestamp: number;
}

export type Decoded<T> = { ok: true; value: T } | { ok: false; reason: string };

/** What a message on one of the fleet's topics is about. */
export interface Subject {
  kind: 'position' | 'status' | 'total' | 'direction' | 'cell' | 'frame' | 'alert';
  /** The plate, the company, the direction, the cell; of an alert `<kind>/<plate>`. */
  name: string;
}

const KINDS = new Map<string | undefined, Subject['kind']>([
  ['vehicle_updates', 'position'],
  ['vehicle_status', 'status'],
  ['company_passengers', 'total'],
  ['direction_stats', 'direction'],
  ['cell_stats', 'cell'],
  ['map', 'frame'],
  ['alerts', 'alert'],
]);

/** The subject of an MQTT topic name, if it is one of the fleet's below `prefix`. */
export function subjectOf(topic: string, prefix: string): Subject | undefined {
  if (!topic.startsWith(prefix)) return undefined;
  const [family, name, ...rest] = topic.slice(prefix.length).split('/');
  const kind = KINDS.get(family);
  if (!kind || !name) return undefined;
  if (kind === 'alert' && rest.length === 1 && rest[0]) return { kind, name: `${name}/${rest[0]}` };
  return rest.length > 0 || kind === 'alert' ? undefined : { kind, name };
}

export function decodePosition(payload: Uint8Array): Decoded<Position> {
  const json = parse(payload);
  if (!json.ok) return json;
  const p = json.value;
  const wrong =
    firstWrong(p, POSITION) ??
    ((p.plate as string).match(/^[A-Z0-9-]{1,16}$/) ? undefined : 'plate') ??
    ((p.bearing as number) < 360 ? undefined : 'bearing') ??
    (p.kind === 'taxi' || p.kind === 'truck' ? undefined : 'kind');
  return wrong ? { ok: false, reason: `not a position: ${wrong} is missing or wrong` } : cast(p);
}

export function decodeTotal(payload: Uint8Array): Decoded<CompanyTotal> {
  return decodeAs(payload, TOTAL, 'a total');
}

export function decodeDirection(payload: Uint8Array): Decoded<DirectionTotal> {
  return decodeAs(payload, DIRECTION, 'a direction');
}

export function decodeCell(payload: Uint8Array): Decoded<CellTotal> {
  return decodeAs(payload, CELL, 'a cell');
}

export function decodeAlert(payload: Uint8Array): Decoded<Alert> {
  return decodeAs(payload, ALERT, 'an alert');
}

function decodeAs<T>(payload: Uint8Array, checks: Record<string, Check>, what: string): Decoded<T> {
  const json = parse(payload);
  if (!json.ok) return json;
  const wrong = firstWrong(json.value, checks);
  return wrong ? { ok: false, reason: `not ${what}: ${wrong} is missing or wrong` } : cast(json.value);
}

export function decodeStatus(payload: Uint8Array): Decoded<'online' | 'offline'> {
  const text = utf8.decode(payload);
  return text === 'online' || text === 'offline'
    ? { ok: true, value: text }
    : { ok: false, reason: 'not a status: neither online nor offline' };
}

type Fields = Record<string, unknown>;
type Check = (value: unknown) => boolean;

const utf8 = new TextDecoder();

function parse(payload: Uint8Array): Decoded<Fields> {
  try {
    const value: unknown = JSON.parse(utf8.decode(payload));
    if (typeof value === 'object' && value !== null) return { ok: true, value: value as Fields };
    return { ok: false, reason: 'not a JSON object' };
  } catch {
    return { ok: false, reason: 'not JSON' };
  }
}

function firstWrong(value: Fields, checks: Record<string, Check>): string | undefined {
  for (const name in checks) {
    if (!checks[name]!(value[name])) return name;
  }
  return undefined;
}

// The checks above have looked at every field of T.
function cast<T>(value: Fields): Decoded<T> {
  return { ok: true, value: value as T };
}

const text: Check = (value) => typeof value === 'string';
const name: Check = (value) => typeof value === 'string' && value.length > 0 && value.length <= 64;
const flag: Check = (value) => typeof value === 'boolean';
const amount: Check = (value) => typeof value === 'number' && Number.isFinite(value) && value >= 0;
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const lngLat: Check = (value) => {
  if (typeof value !== 'object' || value === null) return false;
  const { lng, lat } = value as Fields;
  return within(lng, 180) && within(lat, 90);
};

function within(value: unknown, limit: number): boolean {
  return typeof value === 'number' && Math.abs(value) <= limit;
}

const POSITION: Record<string, Check> = {
  plate: text,
  current: lngLat,
  waypoint: lngLat,
  speed: amount,
  visible: flag,
  distance: amount,
  updateTimestamp: count,
  passengers: count,
  companyName: name,
  companyColor: text,
  companyShape: text,
  isHired: flag,
  id: text,
  kind: text,
  bearing: amount,
  tripId: text,
  destination: lngLat,
  etaSeconds: amount,
  sequence: count,
};

const TOTAL: Record<string, Check> = {
  company: name,
  vehicles: count,
  hired: count,
  passengers: count,
  meanSpeed: amount,
  updateTimestamp: count,
};

const DIRECTION: Record<string, Check> = {
  direction: (value) => DIRECTIONS.includes(value as Direction),
  vehicles: count,
};

const CELL: Record<string, Check> = { cell: name, vehicles: count };

const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const ALERT: Record<string, Check> = {
  kind: (value) => ALERTS.includes(value as Alert['kind']),
  plate: name,
  company: text,
  speed: amount,
  speedLimit: maybe(amount),
  beganAt: count,
  endedAt: maybe(count),
};
