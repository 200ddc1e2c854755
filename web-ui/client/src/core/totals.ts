// The newest totals of each company, and the order in which they are shown.

import type { CompanyTotal } from './decode';

/** What the bars measure: taxis carry passengers, trucks are loaded or not. */
export type Measure = 'passengers' | 'hired';

export interface Sum {
  vehicles: number;
  hired: number;
  passengers: number;
  /** km/h, weighted by vehicles; 0 when there are none. */
  meanSpeed: number;
}

export class Totals {
  #byCompany = new Map<string, CompanyTotal>();
  version = 0;

  get size(): number {
    return this.#byCompany.size;
  }

  set(total: CompanyTotal): void {
    this.#byCompany.set(total.company, total);
    this.version++;
  }

  /** An empty retained message: the company is gone. */
  remove(company: string): void {
    if (this.#byCompany.delete(company)) this.version++;
  }

  /** Most first; equals by name, so that rows don't dance. */
  sorted(by: Measure): CompanyTotal[] {
    return [...this.#byCompany.values()].sort(
      (a, b) => b[by] - a[by] || (a.company < b.company ? -1 : a.company > b.company ? 1 : 0),
    );
  }

  sum(): Sum {
    const sum: Sum = { vehicles: 0, hired: 0, passengers: 0, meanSpeed: 0 };
    let weighted = 0;
    for (const total of this.#byCompany.values()) {
      sum.vehicles += total.vehicles;
      sum.hired += total.hired;
      sum.passengers += total.passengers;
      weighted += total.meanSpeed * total.vehicles;
    }
    if (sum.vehicles > 0) sum.meanSpeed = weighted / sum.vehicles;
    return sum;
  }
}
