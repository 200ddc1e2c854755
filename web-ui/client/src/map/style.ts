// The base map's style as data: VersaTiles' layers for Shortbread tiles, in quiet colours so that vehicles stand out,
// with fonts and tiles of this server alone.

import { osm } from '@versatiles/style';
import type { FontFacesSpecification, StyleSpecification } from 'maplibre-gl';

export interface StyleInput {
  dark: boolean;
  /** Absolute URL of the TileJSON. */
  tiles: string;
  fonts: FontFacesSpecification;
  /** West, south, east, north: beyond them there is no map. */
  bounds: [number, number, number, number];
  textScale: number;
}

/** The map's end is drawn below this layer: over the streets, under the names. */
export const BELOW_LABELS = 'slot-below-labels';

const LIGHT = {
  background: '#f2f1ed',
  land: '#f2f1ed',
  water: '#c9dbe6',
  naturePark: '#b9d4a2',
  natureGrass: '#d5e3c5',
  natureWood: '#c3d8b1',
  areaResidential: '#eeece7',
  areaCommercial: '#eeebe8',
  areaIndustrial: '#ecebe9',
  building: '#e5e2dc',
  buildingBg: '#dad6cf',
  roadStreet: '#ffffff',
  roadStreetBg: '#d9d6d0',
  roadTrunk: '#fdf6e1',
  roadTrunkBg: '#dccfae',
  roadMotorway: '#f9e7c2',
  roadMotorwayBg: '#d8bf8b',
  transitFoot: '#f7f5f1',
  label: '#4a4d55',
  labelHalo: '#ffffffd9',
  labelWater: '#4d7691',
};

const LIGHT_EDGE = { beyond: '#e4e3de', line: '#c3c2bb' };

const DARK = {
  background: '#1f252d',
  land: '#1f252d',
  water: '#0e1a26',
  naturePark: '#2a4636',
  natureGrass: '#22322b',
  natureWood: '#20332a',
  areaResidential: '#20262e',
  areaCommercial: '#222830',
  areaIndustrial: '#21272f',
  building: '#2a313b',
  buildingBg: '#343c48',
  roadStreet: '#3a4350',
  roadStreetBg: '#1a1f26',
  roadTrunk: '#465060',
  roadTrunkBg: '#1a1f26',
  roadMotorway: '#57534b',
  roadMotorwayBg: '#1a1f26',
  transitFoot: '#2b323c',
  label: '#b4bdca',
  labelHalo: '#161b21e6',
  labelWater: '#6f95b0',
};

const DARK_EDGE = { beyond: '#161a20', line: '#323a46' };

const GREENS = ['land-park', 'land-grass', 'land-leisure', 'land-forest'];

export function baseStyle({ dark, tiles, fonts, bounds, textScale }: StyleInput): StyleSpecification {
  const style = osm({
    theme: dark ? 'muted-dark' : 'muted',
    colors: dark ? DARK : LIGHT,
    urls: { osm: tiles },
    // What has symbols takes them from sprites that npm doesn't carry.
    layers: {
      pois: false,
      markings: false,
      icons: false,
      sites: false,
      transit: { stops: false },
      // Where every pavement is mapped, the streets drown in them.
      roads: { footway: false, steps: false },
    },
    text: { scale: textScale },
    sky: false,
    projection: 'mercator',
  }) as StyleSpecification;
  delete style.glyphs;
  delete style.sprite;
  style['font-faces'] = fonts;
  const { label, labelHalo } = dark ? DARK : LIGHT;
  for (const layer of style.layers) {
    if (layer.type === 'fill' && GREENS.includes(layer.id)) {
      // Parks are how one knows a city from afar.
      layer.minzoom = 7;
      layer.paint = { ...layer.paint, 'fill-opacity': 1 };
    } else if (layer.type === 'symbol' && layer.id === 'label-motorway-shield') {
      // Its text is made for a shield, which is a symbol.
      layer.paint = { 'text-color': label, 'text-halo-color': labelHalo, 'text-halo-width': 1.5 };
    }
  }
  addEdge(style, bounds, dark ? DARK_EDGE : LIGHT_EDGE);
  return style;
}

/** Shades what lies beyond the map, as a sheet of paper ends on a desk: nobody should take it for empty land. */
function addEdge(
  style: StyleSpecification,
  [west, south, east, north]: StyleInput['bounds'],
  colors: { beyond: string; line: string },
): void {
  const sheet = ring(west, south, east, north);
  style.sources.edge = {
    type: 'geojson',
    data: {
      type: 'Feature',
      properties: {},
      geometry: { type: 'Polygon', coordinates: [ring(-180, -85, 180, 85), sheet] },
    },
  };
  const below = style.layers.findIndex((layer) => layer.id === BELOW_LABELS);
  style.layers.splice(
    below,
    0,
    { id: 'edge-beyond', type: 'fill', source: 'edge', paint: { 'fill-color': colors.beyond } },
    { id: 'edge-line', type: 'line', source: 'edge', paint: { 'line-color': colors.line, 'line-width': 1 } },
  );
}

function ring(west: number, south: number, east: number, north: number): [number, number][] {
  return [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
    [west, south],
  ];
}
