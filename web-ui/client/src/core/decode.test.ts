import { expect, test } from 'vitest';
import { decodePosition, decodeStatus, decodeTotal, subjectOf } from './decode';
import { bytes, sample } from './samples';

test('the golden position reads as it is written', () => {
  const golden = sample('vehicle_update');
  expect(decodePosition(bytes(golden))).toEqual({ ok: true, value: golden });
});

test('the golden total reads as it is written', () => {
  const golden = sample('company_passengers');
  expect(decodeTotal(bytes(golden))).toEqual({ ok: true, value: golden });
});

test('every field of a position is needed', () => {
  const golden = sample('vehicle_update');
  for (const field of Object.keys(golden)) {
    const { [field]: _, ...rest } = golden;
    const reason = `not a position: ${field} is missing or wrong`;
    expect(decodePosition(bytes(rest))).toEqual({ ok: false, reason });
  }
});

test.each([
  ['plate', 'a/b'],
  ['plate', ''],
  ['current', { lat: 91, lng: 0 }],
  ['current', null],
  ['current', { lat: '40', lng: 0 }],
  ['speed', -1],
  ['speed', 'fast'],
  ['bearing', 360],
  ['passengers', 1.5],
  ['kind', 'bus'],
  ['companyName', ''],
])('a position with %s %j is refused', (field, value) => {
  const position = { ...sample('vehicle_update'), [field]: value };
  const reason = `not a position: ${field} is missing or wrong`;
  expect(decodePosition(bytes(position))).toEqual({ ok: false, reason });
});

test.each(['', 'hello', '[1', '42', 'null'])('%j is no message', (payload) => {
  expect(decodePosition(bytes(payload)).ok).toBe(false);
  expect(decodeTotal(bytes(payload)).ok).toBe(false);
});

test('a status is one of two words', () => {
  expect(decodeStatus(bytes('online'))).toEqual({ ok: true, value: 'online' });
  expect(decodeStatus(bytes('offline'))).toEqual({ ok: true, value: 'offline' });
  expect(decodeStatus(bytes('asleep')).ok).toBe(false);
});

test.each([
  ['fleet/vehicle_updates/T1A23', { kind: 'position', name: 'T1A23' }],
  ['fleet/vehicle_status/T1A23', { kind: 'status', name: 'T1A23' }],
  ['fleet/company_passengers/Meridian Taxi', { kind: 'total', name: 'Meridian Taxi' }],
  ['fleet/map/dr5ru', { kind: 'frame', name: 'dr5ru' }],
  ['fleet/cell_stats/dr5r', { kind: 'cell', name: 'dr5r' }],
  ['fleet/direction_stats/NE', { kind: 'direction', name: 'NE' }],
  ['fleet/alerts/speeding/T1A23', { kind: 'alert', name: 'speeding/T1A23' }],
  ['fleet/alerts/speeding', undefined],
  ['fleet/alerts/speeding/T1A23/x', undefined],
  ['fleet/vehicle_updates/', undefined],
  ['fleet/vehicle_updates/a/b', undefined],
  ['fleet/constructor/a', undefined],
  ['other/vehicle_updates/T1A23', undefined],
])('%s', (topic, subject) => {
  expect(subjectOf(topic, 'fleet/')).toEqual(subject);
});
