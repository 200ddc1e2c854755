import { beforeEach, expect, test } from 'vitest';
import { AlertList } from './alerts';
import { Companies } from './companies';
import { Counts } from './counts';
import type { Direction } from './decode';
import { Frames } from './frames';
import { Inbox } from './inbox';
import { Latency } from './latency';
import { bytes, sample, sampleBytes } from './samples';
import { Store } from './store';
import { Totals } from './totals';

let store: Store;
let totals: Totals;
let inbox: Inbox;
let frames: Frames;
let counts: Counts;
let alerts: AlertList;
let latency: Latency;
const directions = new Map<Direction, number>();
const at = (nowMs: number, isRetained = false) => ({ nowMs, epochMs: 1_767_225_601_000, isRetained });
beforeEach(() => {
  store = new Store({ lng: -73.97, lat: 40.76 }, new Companies(), 0);
  totals = new Totals();
  frames = new Frames(store);
  counts = new Counts({ south: 40, west: -75, north: 41, east: -73 });
  alerts = new AlertList();
  latency = new Latency();
  inbox = new Inbox('fleet/', { store, frames, counts, totals, directions, alerts, latency });
});

test('each message goes where it belongs', () => {
  inbox.take('fleet/vehicle_updates/T1A23', bytes(sample('vehicle_update')), at(100));
  inbox.take('fleet/vehicle_status/T1A23', bytes('offline'), at(200));
  inbox.take('fleet/company_passengers/Meridian Taxi', bytes(sample('company_passengers')), at(300));
  expect(store.latest('T1A23')).toMatchObject({ seenMs: 100, offline: true });
  expect(totals.sum().passengers).toBe(31);
  expect([inbox.messages, inbox.bad, inbox.lastPositionMs]).toEqual([3, 0, 100]);
});

test('empty messages remove', () => {
  inbox.take('fleet/vehicle_updates/T1A23', bytes(sample('vehicle_update')), at(100));
  inbox.take('fleet/company_passengers/Meridian Taxi', bytes(sample('company_passengers')), at(100));
  for (const topic of ['vehicle_updates/T1A23', 'vehicle_status/T1A23', 'company_passengers/Meridian Taxi']) {
    inbox.take(`fleet/${topic}`, bytes(''), at(200));
  }
  expect([store.size, totals.size, inbox.bad]).toEqual([0, 0, 0]);
});

test.each([
  ['fleet/vehicle_updates/T1A23', 'garbage', 'not JSON'],
  ['fleet/vehicle_updates/OTHER', sample('vehicle_update'), 'its plate is T1A23'],
  ['fleet/vehicle_status/T1A23', 'asleep', 'neither online nor offline'],
  ['fleet/company_passengers/X', { company: 'X' }, 'vehicles is missing'],
  ['elsewhere', 'x', 'not one of the fleet’s topics'],
])('a bad message on %s is counted and changes nothing', (topic, payload, reason) => {
  inbox.take(topic, bytes(payload), at(100));
  expect([inbox.bad, store.size, totals.size, inbox.lastPositionMs]).toEqual([1, 0, 0, 0]);
  expect(inbox.lastBad).toContain(reason);
});

test('totals, alerts and frames have their places, too', () => {
  frames.hold(new Set(['dr5ru']));
  inbox.take('fleet/map/dr5ru', sampleBytes('map_frame_dr5ru'), at(100));
  inbox.take('fleet/map/dr5rv', sampleBytes('map_frame_dr5ru'), at(100));
  inbox.take('fleet/cell_stats/dr5r', bytes({ ...sample('cell_stats'), cell: 'dr5r' }), at(100));
  inbox.take('fleet/direction_stats/NE', bytes(sample('direction_stats')), at(100));
  inbox.take('fleet/alerts/speeding/T1A23', bytes(sample('alert_speeding')), at(100));
  expect([store.size, counts.vehicles, directions.get('NE'), alerts.lasting().speeding]).toEqual([
    3, 9, 12, 1,
  ]);
  expect(inbox.bad).toBe(0);
  for (const topic of ['cell_stats/dr5r', 'direction_stats/NE', 'alerts/speeding/T1A23']) {
    inbox.take(`fleet/${topic}`, bytes(''), at(200));
  }
  expect([counts.vehicles, directions.size, alerts.lasting().speeding]).toEqual([0, 0, 0]);
});

test('what was there before is no sign of life', () => {
  inbox.take('fleet/direction_stats/NE', bytes(sample('direction_stats')), at(100, true));
  expect(inbox.lastPositionMs).toBe(0);
  inbox.take('fleet/direction_stats/NE', bytes(sample('direction_stats')), at(200));
  expect(inbox.lastPositionMs).toBe(200);
});

test('the way to the page is measured on positions that follow another', () => {
  const golden = sample('vehicle_update') as { sequence: number; updateTimestamp: number };
  inbox.take('fleet/vehicle_updates/T1A23', bytes(golden), at(100));
  const taken = () => latency.histogram(100).reduce((sum, n) => sum + n, 0);
  expect(taken()).toBe(0);
  const next = { ...golden, sequence: golden.sequence + 1, updateTimestamp: golden.updateTimestamp + 500 };
  inbox.take('fleet/vehicle_updates/T1A23', bytes(next), at(100));
  expect(taken()).toBe(1);
});
