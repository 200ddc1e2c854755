import { expect, test } from 'vitest';
import { decodeFrame, type Frame } from './frame';
import { cellBounds } from './geohash';
import { sample, sampleBytes } from './samples';

interface Golden {
  cell: string;
  total: number;
  time: number;
  vehicles: {
    plate: string;
    lat: number;
    lng: number;
    bearing: number;
    speed: number;
    timestamp: number;
    company: string | null;
    flags: number;
    passengers: number;
  }[];
}

const golden = sample('map_frame_dr5ru') as unknown as Golden;
const payload = sampleBytes('map_frame_dr5ru');

function decoded(bytes: Uint8Array): Frame {
  const frame = decodeFrame(bytes, golden.cell);
  if (!frame.ok) throw new Error(frame.reason);
  return frame.value;
}

test('the golden frame says what its JSON says', () => {
  const frame = decoded(payload);
  expect([frame.time, frame.total]).toEqual([golden.time, golden.total]);
  expect(frame.vehicles.length).toBe(golden.vehicles.length);
  frame.vehicles.forEach((vehicle, index) => {
    const expected = golden.vehicles[index];
    if (!expected) throw new Error('more vehicles than expected');
    // Half of a 65,535th of the cell.
    expect(Math.abs(vehicle.current.lat - expected.lat)).toBeLessThan(4e-7);
    expect(Math.abs(vehicle.current.lng - expected.lng)).toBeLessThan(4e-7);
    const company = vehicle.company === undefined ? null : frame.companies[vehicle.company]?.name;
    const set = [vehicle.isHired, vehicle.isTruck, vehicle.isStopped, vehicle.isSpeeding];
    const flags = set.reduce((sum, isSet, bit) => sum + (isSet ? 1 << bit : 0), 0);
    const { plate, bearing, speed, timestamp, passengers } = vehicle;
    expect({ plate, bearing, speed, timestamp, passengers, company, flags }).toEqual({
      plate: expected.plate,
      bearing: expected.bearing,
      speed: expected.speed,
      timestamp: expected.timestamp,
      passengers: expected.passengers,
      company: expected.company,
      flags: expected.flags,
    });
  });
  expect(frame.companies).toEqual([
    { name: 'Meridian Taxi', color: '#2f6fde', shape: 'circle' },
    { name: 'Zürich Öko', color: '#d62728', shape: '' },
  ]);
});

test('a frame may lie anywhere in a larger buffer', () => {
  const larger = new Uint8Array(payload.length + 7);
  larger.set(payload, 3);
  expect(decoded(larger.subarray(3, 3 + payload.length))).toEqual(decoded(payload));
});

test('an empty frame has no vehicle', () => {
  const empty = new Uint8Array(16);
  empty[0] = 1;
  expect(decoded(empty)).toEqual({ time: 0, total: 0, companies: [], vehicles: [] });
});

test('what is no frame is refused', () => {
  for (let length = 0; length < payload.length; length++) {
    expect(decodeFrame(payload.subarray(0, length), golden.cell).ok).toBe(false);
  }
  expect(decodeFrame(new Uint8Array([...payload, 0]), golden.cell).ok).toBe(false);
  const newer = payload.slice();
  newer[0] = 2;
  const reason = 'not a frame: version 2, not 1';
  expect(decodeFrame(newer, golden.cell)).toEqual({ ok: false, reason });
  expect(decodeFrame(payload, 'dr5ra').ok).toBe(false);
});

test('a cell is where its geohash says', () => {
  // The published example of geohashes: 57.64911, 10.40744 is in u4pruydqqvj.
  const bounds = cellBounds('u4pruydqqvj');
  expect(bounds?.south).toBeCloseTo(57.64911, 5);
  expect(bounds?.west).toBeCloseTo(10.40744, 5);
  expect(cellBounds('')).toBeUndefined();
  expect(cellBounds('s')).toEqual({ south: 0, west: 0, north: 45, east: 45 });
});
