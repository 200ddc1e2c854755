import { beforeEach, expect, test } from 'vitest';
import { Companies } from './companies';
import type { Frame } from './frame';
import { Frames } from './frames';
import { MISSING_MS } from './presence';
import { Store } from './store';

const START = 1_767_225_600_000;
let store: Store;
let frames: Frames;
beforeEach(() => {
  store = new Store({ lng: -74, lat: 40.7 }, new Companies(), 0);
  frames = new Frames(store);
  frames.hold(new Set(['a', 'b']));
});

const frame = (ms: number, lng: number | undefined, age = 0): Frame => ({
  time: START + ms,
  total: lng === undefined ? 0 : 1,
  companies: [{ name: 'Meridian', color: '#112233', shape: 'square' }],
  vehicles:
    lng === undefined
      ? []
      : [
          {
            plate: 'A',
            current: { lng, lat: 40.7 },
            bearing: 90,
            speed: 36,
            timestamp: START + ms - age,
            company: 0,
            isHired: true,
            isTruck: false,
            isStopped: false,
            isSpeeding: false,
            passengers: 1,
          },
        ],
});

test('a vehicle that crosses a border is one vehicle, and goes forward', () => {
  const seen: number[] = [];
  const moved: number[] = [];
  // 10 m/s east; the border is crossed at 2 s, with a moment in both frames and one in neither.
  for (let ms = 0; ms <= 5_000; ms += 500) {
    const lng = -74 + (ms / 1000) * 1.18e-4;
    if (ms <= 2_000) frames.take('a', frame(ms, lng), ms, (time) => moved.push(time));
    else frames.take('a', frame(ms, ms === 2_500 ? lng - 0.6e-4 : undefined, 500), ms, () => {});
    if (ms >= 2_500 && ms !== 3_500) frames.take('b', frame(ms, lng), ms, () => {});
    frames.sweep(ms);
    expect(store.size).toBe(1);
    for (let later = 0; later < 500; later += 50) seen.push(store.shown('A', ms + later)!.lng);
  }
  expect(moved.length).toBe(4);
  const steps = seen.slice(1).map((lng, n) => lng - seen[n]!);
  expect(Math.min(...steps)).toBeGreaterThanOrEqual(-1e-8);
  // 50 ms at 10 m/s are 5.9e-6 degrees: twice that is quick, more would be a leap.
  expect(Math.max(...steps)).toBeLessThan(1.6e-5);
});

test('what is in no frame leaves; what is pinned stays', () => {
  frames.take('a', frame(0, -74), 0, () => {});
  frames.take('a', frame(500, undefined), 500, () => {});
  frames.sweep(500 + MISSING_MS);
  expect(store.size).toBe(0);
  frames.take('b', frame(3_000, -74), 3_000, () => {});
  frames.pinned = 'A';
  frames.hold(new Set(['a']));
  expect([store.has('A'), frames.lists('A')]).toEqual([true, false]);
});

test('a cell that is listened to no more takes its vehicles along, and a late frame of it is not taken', () => {
  frames.take('b', frame(0, -74), 0, () => {});
  frames.hold(new Set(['a']));
  frames.take('b', frame(500, -74), 500, () => {});
  expect(store.size).toBe(0);
});

test('a vehicle silent for long is seen as that', () => {
  frames.take('a', frame(60_000, -74, 40_000), 1_000, () => {});
  expect(store.latest('A')!.seenMs).toBe(1_000 - 40_000);
});
