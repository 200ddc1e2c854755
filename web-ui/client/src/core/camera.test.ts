import { expect, test } from 'vitest';
import { scaleOf, toScreen, toWorld, vehicleRadius } from './camera';

const camera = { scale: scaleOf(14), bearing: 90, x: 0.3, y: 0.4, screenX: 500, screenY: 300 };

test('with east up, a place east of the centre lies above it', () => {
  const east = toScreen(camera, 0.3 + 100 / camera.scale, 0.4);
  expect(east.x).toBeCloseTo(500, 6);
  expect(east.y).toBeCloseTo(200, 6);
});

test('there and back', () => {
  const turned = { ...camera, bearing: 33 };
  const world = toWorld(turned, 12, 700);
  const screen = toScreen(turned, world.x, world.y);
  expect(screen.x).toBeCloseTo(12, 6);
  expect(screen.y).toBeCloseTo(700, 6);
});

test('vehicles grow with the zoom, within limits', () => {
  const radii = [3, 7, 9, 11, 13, 15, 17, 18, 22].map((zoom) => vehicleRadius(scaleOf(zoom)));
  expect(radii).toEqual([...radii].sort((a, b) => a - b));
  expect([radii[0], radii.at(-1)]).toEqual([4, 15]);
});
