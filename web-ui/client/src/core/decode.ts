// From bytes of the network to checked values. What isn't valid becomes a reason, never an exception.

import type { LngLat } from './mercator';

/** One position of one vehicle: the JSON on `<prefix>vehicle_updates/<plate>`. */
export interface Position {
  plate: string;
  current: LngLat;
  waypoint: LngLat;
  /** km/h. */
  speed: number;
  visible: boolean;
  /** Metres to `waypoint`. */
  distance: number;
  /** Milliseconds since the Unix epoch, by the vehicle's clock. */
  updateTimestamp: number;
  passengers: number;
  companyName: string;
  companyColor: string;
  companyShape: string;
  isHired: boolean;
  id: string;
  kind: 'taxi' | 'truck';
  /** Degrees clockwise from true north, [0, 360). */
  bearing: number;
  tripId: string;
  destination: LngLat;
  etaSeconds: number;
  /** Counts this vehicle's messages. */
  sequence: number;
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
  kind: 'position' | 'status' | 'total';
  /** The plate or the company. */
  name: string;
}

const KINDS = new Map<string | undefined, Subject['kind']>([
  ['vehicle_updates', 'position'],
  ['vehicle_status', 'status'],
  ['company_passengers', 'total'],
]);

/** The subject of an MQTT topic name, if it is one of the fleet's below `prefix`. */
export function subjectOf(topic: string, prefix: string): Subject | undefined {
  if (!topic.startsWith(prefix)) return undefined;
  const [family, name, ...rest] = topic.slice(prefix.length).split('/');
  const kind = KINDS.get(family);
  if (!kind || !name || rest.length > 0) return undefined;
  return { kind, name };
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
  const json = parse(payload);
  if (!json.ok) return json;
  const wrong = firstWrong(json.value, TOTAL);
  return wrong ? { ok: false, reason: `not a total: ${wrong} is missing or wrong` } : cast(json.value);
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
