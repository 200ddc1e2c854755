// Counts events per second over the last few seconds.

const BUCKET_MS = 250;
const BUCKETS = 12;

export class Meter {
  total = 0;
  #counts = new Float64Array(BUCKETS);
  #bucket = 0;
  #started: number | undefined;

  add(nowMs: number, n = 1): void {
    this.#turnTo(nowMs);
    this.total += n;
    this.#counts[this.#bucket % BUCKETS]! += n;
  }

  perSecond(nowMs: number): number {
    if (this.#started === undefined) return 0;
    this.#turnTo(nowMs);
    let sum = 0;
    for (const count of this.#counts) sum += count;
    const window = Math.min(BUCKETS * BUCKET_MS, Math.max(1000, nowMs - this.#started));
    return (sum * 1000) / window;
  }

  #turnTo(nowMs: number): void {
    const bucket = Math.floor(nowMs / BUCKET_MS);
    if (this.#started === undefined) {
      this.#started = nowMs;
      this.#bucket = bucket;
    }
    const steps = Math.min(BUCKETS, bucket - this.#bucket);
    for (let i = 1; i <= steps; i++) this.#counts[(this.#bucket + i) % BUCKETS] = 0;
    if (bucket > this.#bucket) this.#bucket = bucket;
  }
}
