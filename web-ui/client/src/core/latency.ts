// How long positions take from the vehicle to this page, over the last seconds: a histogram of fixed steps, so that
// a busy fleet costs no more than a quiet one.

/** Upper ends of the steps, ms: each about a quarter above the last. */
export const STEPS_MS: readonly number[] = (() => {
  const steps: number[] = [];
  for (let ms = 20; ms < 30_000; ms *= 1.25) steps.push(Math.round(ms));
  return steps;
})();

const SLICE_MS = 1_000;
const SLICES = 10;

export class Latency {
  #slices = Array.from({ length: SLICES }, () => new Float64Array(STEPS_MS.length + 1));
  #slice = 0;

  /** A position took so long; a clock that is ahead counts as no time at all. */
  add(ms: number, nowMs: number): void {
    this.#turnTo(nowMs);
    const step = STEPS_MS.findIndex((end) => ms <= end);
    this.#slices[this.#slice % SLICES]![step < 0 ? STEPS_MS.length : step]!++;
  }

  /** How many took how long, by step; the last stands for longer than all steps. */
  histogram(nowMs: number): number[] {
    this.#turnTo(nowMs);
    return Array.from({ length: STEPS_MS.length + 1 }, (_, step) =>
      this.#slices.reduce((sum, slice) => sum + slice[step]!, 0),
    );
  }

  #turnTo(nowMs: number): void {
    const slice = Math.floor(nowMs / SLICE_MS);
    const turns = Math.min(SLICES, slice - this.#slice);
    for (let n = 1; n <= turns; n++) this.#slices[(slice - turns + n) % SLICES]!.fill(0);
    if (slice > this.#slice) this.#slice = slice;
  }
}

/** The time that a share of them took at most, in ms, evenly within a step; undefined where there are none. */
export function quantile(histogram: readonly number[], share: number): number | undefined {
  const total = histogram.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let before = 0;
  for (let step = 0; step < STEPS_MS.length; step++) {
    const here = histogram[step]!;
    if (here > 0 && before + here >= total * share) {
      const low = STEPS_MS[step - 1] ?? 0;
      return low + (STEPS_MS[step]! - low) * Math.max(0, (total * share - before) / here);
    }
    before += here;
  }
  return STEPS_MS[STEPS_MS.length - 1];
}
