import { beforeEach, expect, test } from 'vitest';
import { Companies } from './companies';
import { Inbox } from './inbox';
import { bytes, sample } from './samples';
import { Store } from './store';
import { Totals } from './totals';

let store: Store;
let totals: Totals;
let inbox: Inbox;
beforeEach(() => {
  store = new Store({ lng: -73.97, lat: 40.76 }, new Companies(), 0);
  totals = new Totals();
  inbox = new Inbox('fleet/', store, totals);
});

test('each message goes where it belongs', () => {
  inbox.take('fleet/vehicle_updates/T1A23', bytes(sample('vehicle_update')), 100);
  inbox.take('fleet/vehicle_status/T1A23', bytes('offline'), 200);
  inbox.take('fleet/company_passengers/Meridian Taxi', bytes(sample('company_passengers')), 300);
  expect(store.latest('T1A23')).toMatchObject({ seenMs: 100, offline: true });
  expect(totals.sum().passengers).toBe(31);
  expect([inbox.messages, inbox.bad, inbox.lastPositionMs]).toEqual([3, 0, 100]);
});

test('empty messages remove', () => {
  inbox.take('fleet/vehicle_updates/T1A23', bytes(sample('vehicle_update')), 100);
  inbox.take('fleet/company_passengers/Meridian Taxi', bytes(sample('company_passengers')), 100);
  for (const topic of ['vehicle_updates/T1A23', 'vehicle_status/T1A23', 'company_passengers/Meridian Taxi']) {
    inbox.take(`fleet/${topic}`, bytes(''), 200);
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
  inbox.take(topic, bytes(payload), 100);
  expect([inbox.bad, store.size, totals.size, inbox.lastPositionMs]).toEqual([1, 0, 0, 0]);
  expect(inbox.lastBad).toContain(reason);
});
