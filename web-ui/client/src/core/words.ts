// Numbers as people read them.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function count(n: number): string {
  return whole.format(n);
}

/** Of a thousand, as networks count. */
export function bytes(n: number): string {
  if (n < 995) return `${whole.format(n)} B`;
  return n < 995_000 ? `${(n / 1000).toFixed(1)} kB` : `${(n / 1_000_000).toFixed(1)} MB`;
}

export function kmh(speed: number): string {
  return `${whole.format(speed)} km/h`;
}

export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

export function metres(m: number): string {
  if (m < 995) return `${Math.round(m / 10) * 10} m`;
  return m < 9_950 ? `${(m / 1000).toFixed(1)} km` : `${whole.format(m / 1000)} km`;
}

const POINTS = ['north', 'north-east', 'east', 'south-east', 'south', 'south-west', 'west', 'north-west'];

/** Degrees clockwise from true north, as one of the eight winds. */
export function heading(degrees: number): string {
  return POINTS[Math.round((((degrees % 360) + 360) % 360) / 45) % 8]!;
}
