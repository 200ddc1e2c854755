// How long to wait before the next try: doubling, bounded, and spread out so that a thousand open pages don't
// come back in the same instant after a broker's restart.

const FIRST_MS = 500;
const LIMIT_MS = 15_000;

/** Milliseconds to wait before try number `attempt` (1 is the first after a loss); `random` is in [0, 1). */
export function backoffMs(attempt: number, random: number): number {
  const ceiling = Math.min(LIMIT_MS, FIRST_MS * 2 ** Math.max(0, attempt - 1));
  return ceiling / 2 + (ceiling / 2) * random;
}
