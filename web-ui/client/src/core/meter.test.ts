import { expect, test } from 'vitest';
import { Meter } from './meter';

test('a steady stream reads as its rate, and silence brings it down to none', () => {
  const meter = new Meter();
  for (let ms = 0; ms < 10_000; ms += 10) meter.add(ms);
  expect(meter.perSecond(9_990)).toBeGreaterThan(90);
  expect(meter.perSecond(9_990)).toBeLessThan(105);
  expect(meter.perSecond(60_000)).toBe(0);
  expect(meter.total).toBe(1000);
});

test('nothing yet is none', () => {
  expect(new Meter().perSecond(5)).toBe(0);
});
