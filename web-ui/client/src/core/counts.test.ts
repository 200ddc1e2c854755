import { expect, test } from 'vitest';
import { scaleOf } from './camera';
import { Counts } from './counts';
import { latOf, lngOf } from './mercator';

const map = { south: 40.6, west: -74.1, north: 41, east: -73.8 };

test('cells are counted, empty ones and smaller ones are not', () => {
  const counts = new Counts(map);
  counts.set('dr5r', 5);
  counts.set('dr72', 3);
  counts.set('dr5ru7', 4);
  expect([counts.size, counts.vehicles]).toEqual([2, 8]);
  counts.set('dr72', 0);
  expect([counts.size, counts.vehicles]).toEqual([1, 5]);
  counts.set('dr5q', 1);
  counts.hold(new Set(['dr5q']));
  expect(counts.vehicles).toBe(1);
});

test('a circle stands on the map; far out, near ones become one', () => {
  const counts = new Counts(map);
  counts.set('dr5r', 5);
  counts.set('dr5x', 15);
  const near = counts.circles(scaleOf(10));
  expect(near.length).toBe(2);
  for (const { x, y } of near) {
    expect(lngOf(x)).toBeGreaterThan(map.west);
    expect(lngOf(x)).toBeLessThan(map.east);
    expect(latOf(y)).toBeGreaterThan(map.south);
  }
  const far = counts.circles(scaleOf(5));
  expect(far.map(({ vehicles }) => vehicles)).toEqual([20]);
  expect(far[0]!.x).toBeCloseTo((near[0]!.x * near[0]!.vehicles + near[1]!.x * near[1]!.vehicles) / 20, 10);
});
