// The alerts that last, and the few that ended last.

import { ALERTS, type Alert } from './decode';

/** So long an alert that has ended is still told. */
const ENDED_FOR_MS = 60_000;

export class AlertList {
  #alerts = new Map<string, { alert: Alert; endedAtMs: number | undefined }>();

  /** `name` is `<kind>/<plate>`. An alert comes when it begins, and once more when it has ended. */
  set(name: string, alert: Alert, nowMs: number): void {
    this.#alerts.set(name, { alert, endedAtMs: alert.endedAt === undefined ? undefined : nowMs });
  }

  /** Its retained message is gone: it is over, if that hasn't been said. */
  remove(name: string, nowMs: number): void {
    const known = this.#alerts.get(name);
    if (known) known.endedAtMs ??= nowMs;
  }

  sweep(nowMs: number): void {
    for (const [name, { endedAtMs }] of this.#alerts) {
      if (endedAtMs !== undefined && nowMs - endedAtMs > ENDED_FOR_MS) this.#alerts.delete(name);
    }
  }

  /** How many last, by kind. */
  lasting(): Record<Alert['kind'], number> {
    const counts = Object.fromEntries(ALERTS.map((kind) => [kind, 0])) as Record<Alert['kind'], number>;
    for (const { alert, endedAtMs } of this.#alerts.values()) {
      if (endedAtMs === undefined) counts[alert.kind]++;
    }
    return counts;
  }

  /** The newest first. */
  latest(limit: number): { alert: Alert; isOver: boolean }[] {
    return [...this.#alerts.values()]
      .sort((a, b) => b.alert.beganAt - a.alert.beganAt || (a.alert.plate < b.alert.plate ? -1 : 1))
      .slice(0, limit)
      .map(({ alert, endedAtMs }) => ({ alert, isOver: endedAtMs !== undefined }));
  }
}
