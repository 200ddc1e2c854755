// The configuration the server wrote into the page.

import type { Way } from './core/wanted';

export interface Config {
  title: string;
  kind: 'taxi' | 'truck';
  topicPrefix: string;
  mqtt: { url: string | null; port: number; path: string; username: string | null; password: string | null };
  map: {
    name: string;
    /** West, south, east, north. */
    bounds: [number, number, number, number];
    center: [number, number];
    zoom: number;
    minZoom: number;
    maxZoom: number;
    attribution: string;
  };
  grafanaUrl: string | null;
  version: string;
}

export function readConfig(): Config {
  const text = document.getElementById('config')?.textContent;
  if (!text) throw new Error('the page came without its configuration');
  return JSON.parse(text) as Config;
}

/** What the page takes: the map cells in view, or with `?feed=json` every position. */
export function readWay(search: string): Way {
  return new URLSearchParams(search).get('feed') === 'json' ? 'json' : 'frames';
}

/** The address that says so. */
export function writeWay(way: Way, search: string): string {
  const fields = new URLSearchParams(search);
  fields.delete('feed');
  if (way === 'json') fields.set('feed', 'json');
  const text = fields.toString();
  return text === '' ? '' : `?${text}`;
}

/** Where the browser finds the broker: as configured, or on the host that served the page. */
export function brokerUrl({ mqtt }: Config): string {
  if (mqtt.url) return mqtt.url;
  const host = location.hostname.includes(':') ? `[${location.hostname}]` : location.hostname;
  return `ws://${host}:${mqtt.port}${mqtt.path}`;
}
