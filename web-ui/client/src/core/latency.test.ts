import { expect, test } from 'vitest';
import { Latency, quantile, STEPS_MS } from './latency';

test('quantiles are right within a step', () => {
  const latency = new Latency();
  for (let ms = 1; ms <= 1000; ms++) latency.add(ms, 5_000);
  const histogram = latency.histogram(5_000);
  expect(histogram.reduce((sum, n) => sum + n, 0)).toBe(1000);
  for (const [share, ms] of [
    [0.5, 500],
    [0.99, 990],
  ] as const) {
    expect(Math.abs(quantile(histogram, share)! - ms) / ms).toBeLessThan(0.13);
  }
});

test('what is old is forgotten', () => {
  const latency = new Latency();
  latency.add(100, 1_000);
  latency.add(100, 9_000);
  expect(latency.histogram(10_500).reduce((sum, n) => sum + n, 0)).toBe(2);
  expect(latency.histogram(12_000).reduce((sum, n) => sum + n, 0)).toBe(1);
  expect(quantile(latency.histogram(60_000), 0.5)).toBeUndefined();
});

test('a clock that is ahead, and an hour', () => {
  const latency = new Latency();
  latency.add(-50, 0);
  expect(quantile(latency.histogram(0), 1)).toBeLessThanOrEqual(STEPS_MS[0]!);
  const late = new Latency();
  late.add(3_600_000, 0);
  expect(quantile(late.histogram(0), 0.5)).toBe(STEPS_MS.at(-1));
});
