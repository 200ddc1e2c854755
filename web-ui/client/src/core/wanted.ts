// What the page subscribes to, as a set of filters: worked out anew with each look at the view, and compared with what
// it has.

import type { Coverage } from './coverage';

export type Qos = 0 | 1;
export type Filters = ReadonlyMap<string, Qos>;

/** Frames of the map's cells in view, or every position of every vehicle as JSON. */
export const WAYS = ['frames', 'json'] as const;
export type Way = (typeof WAYS)[number];

/** Totals and alerts are few and retained: they are there at once, whatever the view. */
const ALWAYS = ['company_passengers/+', 'direction_stats/+', 'alerts/+/+'];

/**
 * Frames are not retained: a cell's first one comes with the next move in it, at most half a second later. That is
 * enough, because cells are subscribed to before they are seen, and a retained frame would be an old picture of what
 * moves. `plate` is the vehicle that is followed or looked for: its own positions are quicker, and say where it goes.
 */
export function wanted(prefix: string, way: Way, coverage: Coverage, plate: string | undefined): Filters {
  const filters = new Map<string, Qos>();
  for (const family of ALWAYS) filters.set(`${prefix}${family}`, 1);
  if (way === 'json') {
    filters.set(`${prefix}vehicle_updates/+`, 0);
    filters.set(`${prefix}vehicle_status/+`, 1);
    return filters;
  }
  for (const cell of coverage.cells) filters.set(`${prefix}map/${cell}`, 0);
  if (coverage.counted) for (const cell of coverage.counted) filters.set(`${prefix}cell_stats/${cell}`, 1);
  else filters.set(`${prefix}cell_stats/+`, 1);
  if (plate !== undefined) {
    filters.set(`${prefix}vehicle_updates/${plate}`, 0);
    filters.set(`${prefix}vehicle_status/${plate}`, 1);
  }
  return filters;
}

/** What to subscribe to and what to drop, to come from one set to the other. */
export function difference(from: Filters, to: Filters): { add: [string, Qos][]; drop: string[] } {
  return {
    add: [...to].filter(([filter, qos]) => from.get(filter) !== qos),
    drop: [...from.keys()].filter((filter) => !to.has(filter)),
  };
}
