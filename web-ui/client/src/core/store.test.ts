import { beforeEach, describe, expect, test } from 'vitest';
import { Companies } from './companies';
import type { Position } from './decode';
import { mercatorX } from './mercator';
import { STRIDE } from './motion';
import { sample } from './samples';
import { FADE_AFTER_MS, LOOK_STRIDE, OFFLINE_REMOVE_AFTER_MS, REMOVE_AFTER_MS, Store } from './store';

const golden = sample('vehicle_update') as unknown as Position;
const position = (changes: Partial<Position> = {}): Position => ({ ...golden, ...changes });
const lng = golden.current.lng;
const lat = golden.current.lat;

let store: Store;
beforeEach(() => {
  store = new Store({ lng: -73.97, lat: 40.76 }, new Companies(), 1000);
});

const opacity = (plate: string) => store.look[store.slotOf(plate)! * LOOK_STRIDE + 1];

test('a position is shown where it is, to the centimetre', () => {
  store.update(position(), 1000);
  const shown = store.shown('T1A23', 1000)!;
  expect(Math.abs(shown.lng - lng)).toBeLessThan(1e-7);
  expect(Math.abs(shown.lat - lat)).toBeLessThan(1e-7);
  expect(shown.bearing).toBeCloseTo(18.5, 4);
});

describe('which position is newest', () => {
  test('by sequence: an older one changes nothing', () => {
    expect(store.update(position({ sequence: 10 }), 1000)).toBe(true);
    expect(store.update(position({ sequence: 9, current: { lng: 0, lat: 0 } }), 1100)).toBe(false);
    expect(store.update(position({ sequence: 10 }), 1200)).toBe(false);
    expect(store.shown('T1A23', 5000)!.lng).toBeCloseTo(lng, 6);
  });

  test('a sequence that starts again with a later time is taken', () => {
    store.update(position({ sequence: 5000 }), 1000);
    expect(store.update(position({ sequence: 1, updateTimestamp: golden.updateTimestamp + 500 }), 1500)).toBe(
      true,
    );
    expect(store.latest('T1A23')!.position.sequence).toBe(1);
  });
});

test('it moves on between two positions and is never ahead of the newest', () => {
  const east = (n: number) =>
    position({
      sequence: n,
      updateTimestamp: golden.updateTimestamp + n * 500,
      current: { lng: lng + n * 5e-5, lat },
      bearing: 90,
    });
  const seen: number[] = [];
  for (let n = 1; n <= 20; n++) {
    store.update(east(n), 1000 + n * 500);
    for (let ms = 0; ms < 500; ms += 100) {
      const drawn = store.shown('T1A23', 1000 + n * 500 + ms)!.lng;
      expect(drawn).toBeLessThanOrEqual(lng + n * 5e-5 + 1e-8);
      seen.push(drawn);
    }
  }
  for (let n = 1; n < seen.length; n++) expect(seen[n]!).toBeGreaterThanOrEqual(seen[n - 1]! - 1e-9);
  expect(store.trail('T1A23', 11_500).length).toBeGreaterThanOrEqual(2);
  expect(store.trail('T1A23', 11_500).at(-1)![0]).toBeLessThanOrEqual(
    mercatorX(seen.at(-1)!) - store.originX + 1e-10,
  );
});

test('a leap no vehicle can drive is a jump', () => {
  store.update(position({ sequence: 1 }), 1000);
  const far = { lng: lng + 0.1, lat };
  store.update(position({ sequence: 2, updateTimestamp: golden.updateTimestamp + 500, current: far }), 1500);
  expect(store.shown('T1A23', 1500)!.lng).toBeCloseTo(far.lng, 6);
});

describe('vehicles come and go', () => {
  test('an empty message removes, and its slot is used again', () => {
    store.update(position(), 1000);
    store.update(position({ plate: 'B' }), 1000);
    const slot = store.slotOf('T1A23');
    store.remove('T1A23');
    store.remove('never seen');
    expect([store.size, store.has('T1A23'), store.shown('T1A23', 1000)]).toEqual([1, false, undefined]);
    expect(store.look[slot! * LOOK_STRIDE + 1]).toBe(0);
    store.update(position({ plate: 'C' }), 1000);
    expect(store.slotOf('C')).toBe(slot);
    expect(store.slots).toBe(2);
  });

  test('silence fades, then removes', () => {
    store.update(position(), 1000);
    store.sweep(1000 + FADE_AFTER_MS - 1, 0);
    expect(opacity('T1A23')).toBe(255);
    store.sweep(1000 + FADE_AFTER_MS + 1, 0);
    expect(opacity('T1A23')).toBeLessThan(128);
    store.sweep(1000 + REMOVE_AFTER_MS + 1, 0);
    expect(store.size).toBe(0);
  });

  test('a lost connection is not the vehicles’ silence', () => {
    store.update(position(), 1000);
    store.sweep(1_000_000, undefined);
    store.sweep(1_000_500, 1_000_000);
    expect(store.size).toBe(1);
    expect(opacity('T1A23')).toBeLessThan(128);
    store.sweep(1_000_001 + REMOVE_AFTER_MS, 1_000_000);
    expect(store.size).toBe(0);
  });

  test('a Last Will fades at once; back online it is whole again', () => {
    store.update(position(), 1000);
    store.setStatus('T1A23', 'offline', 2000);
    expect(opacity('T1A23')).toBeLessThan(128);
    store.setStatus('T1A23', 'online', 3000);
    expect(opacity('T1A23')).toBe(255);
    store.setStatus('T1A23', 'offline', 4000);
    store.sweep(4001 + OFFLINE_REMOVE_AFTER_MS, 0);
    expect(store.size).toBe(0);
  });

  test('positions long after the Last Will mean it is back; one just behind it does not', () => {
    const nth = (n: number) => position({ sequence: n, updateTimestamp: golden.updateTimestamp + n });
    store.update(nth(1), 1000);
    store.setStatus('T1A23', 'offline', 2000);
    store.update(nth(2), 2100);
    expect(store.latest('T1A23')!.offline).toBe(true);
    store.update(nth(3), 6000);
    expect(store.latest('T1A23')!.offline).toBe(false);
  });
});

test('it grows', () => {
  for (let n = 0; n < 2000; n++)
    store.update(position({ plate: `P${n}`, current: { lng: lng + n * 1e-4, lat } }), 1000);
  expect([store.size, store.slots]).toEqual([2000, 2000]);
  expect(store.motion.length).toBeGreaterThanOrEqual(2000 * STRIDE);
  expect(store.shown('P1999', 1000)!.lng).toBeCloseTo(lng + 0.1999, 5);
});

test('days later it still moves smoothly', () => {
  const start = 1000;
  let now = start;
  for (let day = 0; day < 3; day++) {
    now += 86_400_000;
    store.update(
      position({ sequence: day + 1, updateTimestamp: golden.updateTimestamp + now, bearing: 90 }),
      now,
    );
    store.sweep(now, 0);
    expect(store.seconds(now)).toBeLessThan(3_601);
  }
  // Beyond the place that it has rolled to meanwhile.
  const next = { lng: lng + 3e-4, lat };
  store.update(
    position({
      sequence: 9,
      updateTimestamp: golden.updateTimestamp + now + 500,
      current: next,
      bearing: 90,
    }),
    now + 500,
  );
  const steps = [600, 700, 800].map((ms) => store.shown('T1A23', now + ms)!.lng);
  expect(steps[1]! - steps[0]!).toBeCloseTo(steps[2]! - steps[1]!, 6);
  expect(steps[1]).toBeGreaterThan(steps[0]!);
});

test('search finds plates by their start first', () => {
  for (const plate of ['AT1', 'T1A', 'T1B', 'X']) store.update(position({ plate }), 1000);
  expect(store.search(' t1', 8)).toEqual(['T1A', 'T1B', 'AT1']);
  expect(store.search('t1', 1)).toEqual(['T1A']);
  expect(store.search('', 8)).toEqual([]);
});

test('nearest is the one that is drawn nearest, within reach', () => {
  store.update(position({ plate: 'A' }), 1000);
  store.update(position({ plate: 'B', current: { lng: lng + 0.01, lat } }), 1000);
  const a = store.motion.subarray(store.slotOf('A')! * STRIDE);
  expect(store.plateAt(store.nearest(a[0]! + 1e-8, a[1]!, 1e-6, 1000)!)).toBe('A');
  expect(store.nearest(a[0]! + 1e-5, a[1]!, 1e-6, 1000)).toBeUndefined();
});

test('one company is shown alone: the others are neither drawn nor picked, and come back', () => {
  store.update(position({ plate: 'A' }), 1000);
  store.update(position({ plate: 'B', companyName: 'Other', current: { lng: lng + 0.01, lat } }), 1000);
  store.show('Other', 1000);
  expect([store.size, store.drawn(), opacity('A')]).toEqual([2, 1, 0]);
  const a = store.motion.subarray(store.slotOf('A')! * STRIDE);
  expect(store.nearest(a[0]!, a[1]!, 1e-6, 1000)).toBeUndefined();
  store.update(position({ plate: 'C' }), 1000);
  expect(opacity('C')).toBe(0);
  store.show(undefined, 1000);
  expect(store.drawn()).toBe(3);
});

test('of two ways to hear of a vehicle, the newer position counts', () => {
  const { sequence: _, ...frame } = position({ updateTimestamp: golden.updateTimestamp + 500 });
  store.update(position(), 1000);
  expect(store.update(frame, 1100)).toBe(true);
  expect(store.update(position({ sequence: golden.sequence + 1 }), 1200)).toBe(false);
  expect(store.update(frame, 1300)).toBe(false);
});
