// The base map's style as data: VersaTiles' layers for Shortbread tiles, in quiet colours so that vehicles stand out,
// with fonts and tiles of this server alone.

import { osm } from '@versatiles/style';
import type { FontFacesSpecification, StyleSpecification } from 'maplibre-gl';

export interface StyleInput {
  dark: boolean;
  /** Absolute URL of the TileJSON. */
  tiles: string;
  fonts: FontFacesSpecification;
}

/** Layers of one's own go below this one: over the streets, under the names. */
export const BELOW_LABELS = 'slot-below-labels';

const LIGHT = {
  background: '#f2f1ed',
  land: '#f2f1ed',
  water: '#c9dbe6',
  naturePark: '#d3e0c5',
  natureGrass: '#dbe5cf',
  natureWood: '#c9dabb',
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
  label: '#4a4d55',
  labelHalo: '#ffffffd9',
  labelWater: '#4d7691',
};

const DARK = {
  background: '#171b21',
  land: '#171b21',
  water: '#0b1219',
  naturePark: '#1a2a22',
  natureGrass: '#1a2620',
  natureWood: '#18271f',
  areaResidential: '#191d24',
  areaCommercial: '#1b1f26',
  areaIndustrial: '#1a1e25',
  building: '#20252d',
  buildingBg: '#2a303a',
  roadStreet: '#303742',
  roadStreetBg: '#12161b',
  roadTrunk: '#3d4451',
  roadTrunkBg: '#12161b',
  roadMotorway: '#4c4a45',
  roadMotorwayBg: '#12161b',
  label: '#a9b2c0',
  labelHalo: '#12161be6',
  labelWater: '#5f829b',
};

export function baseStyle({ dark, tiles, fonts }: StyleInput): StyleSpecification {
  const style = osm({
    theme: dark ? 'muted-dark' : 'muted',
    colors: dark ? DARK : LIGHT,
    urls: { osm: tiles },
    // Symbols come from sprites that npm doesn't carry.
    layers: { pois: false, markings: false, icons: false, sites: false, transit: { stops: false } },
    sky: false,
    projection: 'mercator',
  }) as StyleSpecification;
  delete style.glyphs;
  delete style.sprite;
  style['font-faces'] = fonts;
  return style;
}
