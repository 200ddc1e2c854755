// The state in the address bar: `#plate=T1A23&zoom=15.5`, so that a link shares what one sees.

export interface Address {
  plate: string | undefined;
  zoom: number | undefined;
}

export function readAddress(hash: string): Address {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  const plate = fields.get('plate')?.trim().toUpperCase();
  const zoom = Number(fields.get('zoom') ?? Number.NaN);
  return {
    plate: plate && /^[A-Z0-9-]{1,16}$/.test(plate) ? plate : undefined,
    zoom: Number.isFinite(zoom) && zoom >= 0 && zoom <= 24 ? zoom : undefined,
  };
}

export function writeAddress({ plate, zoom }: Address): string {
  const fields = new URLSearchParams();
  if (plate !== undefined) fields.set('plate', plate);
  if (zoom !== undefined) fields.set('zoom', String(Math.round(zoom * 10) / 10));
  const text = fields.toString();
  return text === '' ? '' : `#${text}`;
}
