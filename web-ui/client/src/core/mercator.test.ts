import { expect, test } from 'vitest';
import { bearingTo, distanceM, latOf, lngOf, mercatorX, mercatorY } from './mercator';

test('there and back', () => {
  expect(lngOf(mercatorX(-73.9855))).toBeCloseTo(-73.9855, 10);
  expect(latOf(mercatorY(40.758))).toBeCloseTo(40.758, 10);
  expect([mercatorX(-180), mercatorX(180), mercatorY(0)]).toEqual([0, 1, 0.5]);
});

test('distance and direction', () => {
  const a = { lng: -73.9855, lat: 40.758 };
  expect(distanceM(a, a)).toBe(0);
  // A minute of latitude is a nautical mile, within the flattening of the earth.
  expect(distanceM(a, { ...a, lat: a.lat + 1 / 60 })).toBeCloseTo(1855, -1);
  expect(bearingTo(a, { ...a, lng: a.lng - 1 })).toBeCloseTo(270, 0);
  expect(bearingTo(a, { ...a, lat: a.lat + 1 })).toBe(0);
});
