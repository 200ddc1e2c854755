import { expect, test } from 'vitest';
import { bytes, count, duration, heading, kmh, metres } from './words';

test('numbers as people read them', () => {
  expect(count(15000)).toBe('15,000');
  expect(kmh(38.5)).toBe('39 km/h');
  expect([12, 61, 412.5, 3_720].map(duration)).toEqual(['12 s', '1 min', '7 min', '1 h 02 min']);
  expect([7, 105.5, 998, 1_540, 12_400].map(metres)).toEqual(['10 m', '110 m', '1.0 km', '1.5 km', '12 km']);
  expect([12, 1_540, 2_540_000].map(bytes)).toEqual(['12 B', '1.5 kB', '2.5 MB']);
  expect([0, 350, 45, 180, 300].map(heading)).toEqual([
    'north',
    'north',
    'north-east',
    'south',
    'north-west',
  ]);
});
