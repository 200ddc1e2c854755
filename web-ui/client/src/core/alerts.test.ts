import { expect, test } from 'vitest';
import { AlertList } from './alerts';
import { type Alert, decodeAlert } from './decode';
import { bytes, sample } from './samples';

const golden = sample('alert_speeding') as unknown as Alert;

test('golden alerts read as they are written', () => {
  for (const name of ['alert_speeding', 'alert_offline_ended']) {
    expect(decodeAlert(bytes(sample(name)))).toEqual({ ok: true, value: sample(name) });
  }
  expect(decodeAlert(bytes({ ...golden, kind: 'lost' })).ok).toBe(false);
});

test('an alert begins, ends and is told for a while', () => {
  const alerts = new AlertList();
  alerts.set('speeding/A', { ...golden, plate: 'A' }, 0);
  alerts.set('speeding/B', { ...golden, plate: 'B', beganAt: golden.beganAt + 1 }, 0);
  expect(alerts.lasting()).toEqual({ offline: 0, stopped: 0, speeding: 2 });
  expect(alerts.latest(1).map(({ alert }) => alert.plate)).toEqual(['B']);
  alerts.set(
    'speeding/B',
    { ...golden, plate: 'B', beganAt: golden.beganAt + 1, endedAt: golden.beganAt + 2 },
    1000,
  );
  alerts.remove('speeding/B', 2000);
  alerts.remove('speeding/A', 2000);
  alerts.remove('speeding/never', 2000);
  expect(alerts.lasting().speeding).toBe(0);
  expect(alerts.latest(9).map(({ alert, isOver }) => [alert.plate, isOver])).toEqual([
    ['B', true],
    ['A', true],
  ]);
  alerts.sweep(61_500);
  expect(alerts.latest(9).map(({ alert }) => alert.plate)).toEqual(['A']);
});
