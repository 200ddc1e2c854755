import { expect, test } from 'vitest';
import { type Link, newLink, report } from './link';

const link = (changes: Partial<Link>): Link => ({ ...newLink(), ...changes });

test.each<[string, Partial<Link>, string, string]>([
  ['at the start', {}, 'connecting', 'waiting for the broker'],
  [
    'open, nothing yet',
    { phase: 'open', openedMs: 99_000, everOpen: true },
    'connecting',
    'waiting for the first vehicle',
  ],
  ['open and flowing', { phase: 'open', openedMs: 1, lastMessageMs: 99_900 }, 'live', 'last data just now'],
  [
    'open and quiet',
    { phase: 'open', openedMs: 1, lastMessageMs: 88_000 },
    'stale',
    'connected, last data 12 s ago',
  ],
  ['open, never any', { phase: 'open', openedMs: 1 }, 'empty', 'connected, but no vehicle has reported yet'],
  [
    'lost',
    {
      phase: 'waiting',
      everOpen: true,
      lastMessageMs: 90_000,
      nextTryMs: 102_500,
      error: 'the connection was lost',
    },
    'reconnecting',
    'the connection was lost; last data 10 s ago, next try in 3 s',
  ],
  [
    'never reached',
    { phase: 'waiting', nextTryMs: 100_400, error: 'the broker is not reachable' },
    'reconnecting',
    'the broker is not reachable; no data yet, next try in 1 s',
  ],
  [
    'trying again',
    { phase: 'connecting', everOpen: true, lastMessageMs: 40_000 },
    'reconnecting',
    'last data 60 s ago, trying now',
  ],
])('%s', (_, changes, state, detail) => {
  expect(report(link(changes), 100_000)).toMatchObject({ state, detail });
});

test('nobody in view is said only where the fleet reports', () => {
  const open = { phase: 'open', openedMs: 1, everOpen: true } as const;
  expect(report(link({ ...open, lastMessageMs: 99_900 }), 100_000, true).state).toBe('away');
  expect(report(link({ ...open, lastMessageMs: 88_000 }), 100_000, true).state).toBe('stale');
  expect(report(link(open), 100_000, true).state).toBe('empty');
});
