// Which cell each vehicle is in, by the frames. A frame is complete, so who is missing in it has left the cell; but a
// vehicle that crosses a border may be in both cells' frames or in neither for a moment, and must neither double nor blink.

export interface Listed {
  plate: string;
  /** Milliseconds since the Unix epoch, by the vehicle's clock. */
  timestamp: number;
}

/** Who is missing for so long is gone: three frames, one of them late. */
export const MISSING_MS = 2_000;

interface Entry {
  cell: string;
  timestamp: number;
  /** Page time since when its cell doesn't list it any more, ms. */
  missingMs: number | undefined;
}

export class Presence {
  #entries = new Map<string, Entry>();
  #byCell = new Map<string, Set<string>>();

  get size(): number {
    return this.#entries.size;
  }

  has(plate: string): boolean {
    return this.#entries.has(plate);
  }

  /** A frame of a cell has come. */
  take(cell: string, vehicles: readonly Listed[], nowMs: number): void {
    const before = this.#byCell.get(cell);
    const listed = new Set<string>();
    for (const { plate, timestamp } of vehicles) {
      const known = this.#entries.get(plate);
      // In two cells' frames, the newer timestamp is right; who is missing in its own has moved for certain.
      const other = known !== undefined && known.cell !== cell;
      if (other && timestamp <= known.timestamp && known.missingMs === undefined) continue;
      if (other) this.#byCell.get(known.cell)?.delete(plate);
      this.#entries.set(plate, { cell, timestamp, missingMs: undefined });
      listed.add(plate);
    }
    for (const plate of before ?? []) {
      if (listed.has(plate)) continue;
      const entry = this.#entries.get(plate);
      if (!entry) continue;
      entry.missingMs ??= nowMs;
      listed.add(plate);
    }
    if (listed.size > 0) this.#byCell.set(cell, listed);
    else this.#byCell.delete(cell);
  }

  /** The page listens to a cell no more: the plates that go with it. */
  drop(cell: string): string[] {
    const plates = [...(this.#byCell.get(cell) ?? [])];
    this.#byCell.delete(cell);
    for (const plate of plates) this.#entries.delete(plate);
    return plates;
  }

  /** The plates that have been missing for too long; they are forgotten. */
  sweep(nowMs: number): string[] {
    const gone: string[] = [];
    for (const [plate, { cell, missingMs }] of this.#entries) {
      if (missingMs === undefined || nowMs - missingMs < MISSING_MS) continue;
      gone.push(plate);
      this.#entries.delete(plate);
      this.#byCell.get(cell)?.delete(plate);
    }
    return gone;
  }
}
