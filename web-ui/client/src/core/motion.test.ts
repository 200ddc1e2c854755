import { describe, expect, test } from 'vitest';
import { arrivalTime, type Clock, type Place, place, put, STRIDE, send, startClock, wrap } from './motion';

const at = (m: Float32Array, time: number): Place => ({ ...place(m, 0, time, { x: 0, y: 0, bearing: 0 }) });
const EAST = Math.PI / 2;

describe('one segment', () => {
  test('straight ahead is an even pace, and it holds at the end', () => {
    const m = new Float32Array(STRIDE);
    put(m, 0, 10, 0, 0, EAST);
    send(m, 0, 10, 12, 4, 0, EAST);
    for (const [time, x] of [
      [9, 0],
      [10, 0],
      [10.5, 1],
      [11, 2],
      [12, 4],
      [60, 4],
    ] as const) {
      expect(at(m, time).x).toBeCloseTo(x, 5);
      expect(at(m, time).y).toBeCloseTo(0, 5);
    }
  });

  test('a corner is driven along the directions of travel, not across', () => {
    const m = new Float32Array(STRIDE);
    put(m, 0, 0, 0, 0, 0);
    send(m, 0, 0, 1, 1, -1, EAST);
    const middle = at(m, 0.5);
    // North first, then east: the curve lies on the outer side of the chord y = -x.
    expect(-middle.y).toBeGreaterThan(middle.x);
    expect(middle.bearing).toBeCloseTo(Math.PI / 4, 5);
    expect(at(m, 1)).toMatchObject({ x: 1, y: -1 });
  });

  test('a reversal never leaves the chord', () => {
    const m = new Float32Array(STRIDE);
    put(m, 0, 0, 0, 0, EAST);
    send(m, 0, 0, 1, -1, 0, -EAST);
    for (let t = 0; t <= 1; t += 0.05) {
      expect(at(m, t).x).toBeLessThanOrEqual(1e-6);
      expect(at(m, t).x).toBeGreaterThanOrEqual(-1 - 1e-6);
    }
  });

  test('a new target starts from where the vehicle is drawn', () => {
    const m = new Float32Array(STRIDE);
    put(m, 0, 0, 0, 0, EAST);
    send(m, 0, 0, 1, 10, 0, EAST);
    const before = at(m, 0.7);
    send(m, 0, 0.7, 1.4, 20, 0, EAST);
    expect(at(m, 0.7).x).toBeCloseTo(before.x, 5);
    expect(at(m, 1.4).x).toBeCloseTo(20, 5);
  });

  test('it turns the short way round', () => {
    const m = new Float32Array(STRIDE);
    put(m, 0, 0, 0, 0, wrap((350 * Math.PI) / 180));
    send(m, 0, 0, 1, 0, -1, (10 * Math.PI) / 180);
    expect(wrap(at(m, 0.5).bearing)).toBeCloseTo(0, 5);
  });
});

describe('a stream of messages', () => {
  /** Drives 10 m/s eastward at 2 Hz with the given delays of the messages, and returns the drawn speeds, frame by frame. */
  function drive(delays: number[]): number[] {
    const m = new Float32Array(STRIDE);
    const clock: Clock = { offset: 0, interval: 0, sent: 0 };
    const arrivals = delays
      .map((delay, n) => ({ n, time: 100 + n * 0.5 + delay }))
      .sort((a, b) => a.time - b.time);
    const speeds: number[] = [];
    let next = 0;
    let x = 0;
    const frame = 1 / 60;
    for (let now = 100; now < 100 + delays.length * 0.5; now += frame) {
      while (next < arrivals.length && arrivals[next]!.time <= now) {
        const { n, time } = arrivals[next++]!;
        const sent = 1000 + n * 0.5;
        if (n === 0) {
          startClock(clock, time, sent);
          put(m, 0, time, 0, 0, EAST);
        } else {
          send(m, 0, time, arrivalTime(clock, time, sent), n * 5, 0, EAST);
        }
      }
      const drawn = at(m, now).x;
      speeds.push((drawn - x) / frame);
      x = drawn;
    }
    return speeds.slice(120);
  }

  test('even delays give an even pace', () => {
    const speeds = drive(Array.from({ length: 40 }, () => 0.03));
    expect(Math.min(...speeds)).toBeGreaterThan(9.5);
    expect(Math.max(...speeds)).toBeLessThan(10.5);
  });

  test('jitter of 100 ms changes the pace a little and never the direction', () => {
    const delays = Array.from({ length: 60 }, (_, n) => 0.02 + ((n * 37) % 11) / 100);
    const speeds = drive(delays);
    expect(Math.min(...speeds)).toBeGreaterThan(5);
    expect(Math.max(...speeds)).toBeLessThan(15);
  });

  test('a message 600 ms late: it waits, then catches up without a jump', () => {
    const delays = Array.from({ length: 40 }, (_, n) => (n === 20 ? 0.45 : n === 21 ? 0.3 : 0.03));
    const speeds = drive(delays);
    expect(Math.min(...speeds)).toBeGreaterThanOrEqual(-1e-3);
    expect(Math.max(...speeds)).toBeLessThan(45);
  });
});

test('a clock far off doesn’t matter, and a silence isn’t taken for the pace', () => {
  const clock: Clock = { offset: 0, interval: 0, sent: 0 };
  startClock(clock, 50, 9_000_000);
  for (let n = 1; n <= 20; n++) arrivalTime(clock, 50 + n, 9_000_000 + n);
  expect(clock.interval).toBeGreaterThan(0.95);
  const before = clock.interval;
  const arrival = arrivalTime(clock, 400, 9_000_350);
  expect(clock.interval).toBe(before);
  expect(arrival - 400).toBeLessThan(3);
});

describe('when the next message is late', () => {
  const rolling = () => {
    const m = new Float32Array(STRIDE);
    put(m, 0, 0, 0, 0, EAST);
    send(m, 0, 0, 1, 10, 0, EAST, 10);
    return m;
  };

  test('it rolls on at its pace, ever slower, and stands in the end', () => {
    const m = rolling();
    expect(at(m, 1.05).x - at(m, 1).x).toBeCloseTo(0.5, 1);
    expect(at(m, 3).x).toBeGreaterThan(at(m, 2).x);
    expect(at(m, 100).x).toBe(at(m, 10).x);
    expect(at(m, 100).x).toBeLessThan(22.1);
    expect(at(m, 3).y).toBeCloseTo(0, 5);
  });

  test('the late message is driven to from where it has rolled to', () => {
    const m = rolling();
    const rolled = at(m, 1.5).x;
    send(m, 0, 1.5, 2, 20, 0, EAST, 10);
    expect(at(m, 1.5).x).toBeCloseTo(rolled, 5);
    expect(at(m, 2).x).toBeCloseTo(20, 5);
  });

  test('one that has rolled too far waits and is not pulled back', () => {
    const m = rolling();
    const rolled = at(m, 1.5).x;
    send(m, 0, 1.5, 2, rolled - 1, 0, EAST, 10);
    for (const time of [1.5, 1.8, 2, 5]) expect(at(m, time).x).toBeCloseTo(rolled, 4);
    send(m, 0, 5, 6, rolled + 8, 0, EAST, 10);
    expect(at(m, 6).x).toBeCloseTo(rolled + 8, 4);
  });

  test('where motion is reduced, nothing rolls', () => {
    expect(place(rolling(), 0, 50, { x: 0, y: 0, bearing: 0 }, false).x).toBeCloseTo(10, 5);
  });
});
