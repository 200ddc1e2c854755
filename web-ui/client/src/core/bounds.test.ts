import { expect, test } from 'vitest';
import { boundsOf, common, widened } from './bounds';
import { scaleOf } from './camera';
import { mercatorX, mercatorY } from './mercator';

const camera = {
  scale: scaleOf(14),
  bearing: 0,
  x: mercatorX(-73.98),
  y: mercatorY(40.75),
  screenX: 400,
  screenY: 300,
};

test('a camera sees what is around its place; turned, more of it', () => {
  const seen = boundsOf(camera, 800, 600);
  expect((seen.west + seen.east) / 2).toBeCloseTo(-73.98, 6);
  expect(seen.east - seen.west).toBeCloseTo((800 / scaleOf(14)) * 360, 6);
  expect(seen.south).toBeLessThan(40.75);
  expect(seen.north).toBeGreaterThan(40.75);
  const turned = boundsOf({ ...camera, bearing: 45 }, 800, 600);
  expect(turned.east - turned.west).toBeGreaterThan(seen.east - seen.west);
});

test('widened and cut', () => {
  const one = { south: 0, west: 0, north: 10, east: 20 };
  expect(widened(one, 0.1)).toEqual({ south: -1, west: -2, north: 11, east: 22 });
  expect(common(one, { south: 5, west: -5, north: 50, east: 5 })).toEqual({
    south: 5,
    west: 0,
    north: 10,
    east: 5,
  });
  expect(common(one, { south: 11, west: 0, north: 12, east: 1 })).toBeUndefined();
});
