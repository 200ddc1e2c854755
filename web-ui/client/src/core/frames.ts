// From the frames of the map's cells to the store: one picture of the cells that are listened to.

import type { Frame } from './frame';
import { Presence } from './presence';
import type { Store } from './store';

/** A company that had no room in its frame. */
const NAMELESS = 'Other';

export class Frames {
  /** The vehicle that also comes as JSON: it stays when its cell is left. */
  pinned: string | undefined;
  #store: Store;
  #presence = new Presence();
  #cells: ReadonlySet<string> = new Set();

  constructor(store: Store) {
    this.#store = store;
  }

  /** From now on these cells are listened to. */
  hold(cells: ReadonlySet<string>): void {
    for (const cell of this.#cells) if (!cells.has(cell)) this.#remove(this.#presence.drop(cell));
    this.#cells = cells;
  }

  /** Takes in a frame; `moved` is told of each position that is newer than one known before. */
  take(cell: string, frame: Frame, nowMs: number, moved: (timestamp: number) => void): void {
    // One that was under way when its cell was left would bring back what is gone.
    if (!this.#cells.has(cell)) return;
    this.#presence.take(cell, frame.vehicles, nowMs);
    for (const vehicle of frame.vehicles) {
      const company = vehicle.company === undefined ? undefined : frame.companies[vehicle.company];
      const known = this.#store.has(vehicle.plate);
      const isNewer = this.#store.update(
        {
          plate: vehicle.plate,
          current: vehicle.current,
          bearing: vehicle.bearing,
          speed: vehicle.speed,
          updateTimestamp: vehicle.timestamp,
          passengers: vehicle.passengers,
          companyName: company?.name ?? NAMELESS,
          companyColor: company?.color ?? '',
          companyShape: company?.shape ?? '',
          isHired: vehicle.isHired,
          kind: vehicle.isTruck ? 'truck' : 'taxi',
        },
        nowMs,
        // By the frame's own time, a vehicle that was silent before the page looked is as faint as it should be.
        nowMs - (frame.time - vehicle.timestamp),
      );
      if (known && isNewer) moved(vehicle.timestamp);
    }
  }

  /** Whether a cell that is listened to has this vehicle. */
  lists(plate: string): boolean {
    return this.#presence.has(plate);
  }

  sweep(nowMs: number): void {
    this.#remove(this.#presence.sweep(nowMs));
  }

  #remove(plates: string[]): void {
    for (const plate of plates) if (plate !== this.pinned) this.#store.remove(plate);
  }
}
