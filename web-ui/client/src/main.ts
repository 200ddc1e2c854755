// The page: assembles the parts and lets the data run from the feed into the store and from there to the eye.

import './styles/index.css';
import { readConfig, readWay, writeWay } from './config';
import { type Address, readAddress, writeAddress } from './core/address';
import { AlertList } from './core/alerts';
import { Companies } from './core/companies';
import { Counts } from './core/counts';
import type { Direction, Position } from './core/decode';
import { Frames } from './core/frames';
import { Inbox } from './core/inbox';
import { Latency } from './core/latency';
import { report } from './core/link';
import { Store } from './core/store';
import { Totals } from './core/totals';
import { count } from './core/words';
import { Feed } from './feed';
import { BaseMap } from './map/base';
import { CountLayer } from './map/counts';
import { Follow } from './map/follow';
import { Overlay } from './map/overlay';
import { PlainMap } from './map/plain';
import { TrailLayer } from './map/trail';
import type { View, ViewEvents } from './map/view';
import { ThemeChoice } from './media';
import { CompanyTable } from './panels/companies';
import { MapControls, themeSwitch } from './panels/controls';
import { setText } from './panels/dom';
import { FlowPanel } from './panels/flow';
import { LatencyPanel } from './panels/latency';
import { Layout } from './panels/layout';
import { Numbers } from './panels/numbers';
import { Search } from './panels/search';
import { Stats } from './panels/stats';
import { Status } from './panels/status';
import { VehicleCard } from './panels/vehicle';
import { expose } from './probe';
import { mapBounds, Source } from './source';

const REFRESH_MS = 500;
/** Subscriptions follow the view so often: a frame takes longer to come than this. */
const LOOK_MS = 200;
const HITS = 8;
/** Where one sees the corner that a taxi is at, */
const STREET_ZOOM = 15.5;
/** and the stretch of road that a truck is on. */
const ROAD_ZOOM = 12.5;
const NOBODY: Address = { plate: undefined, zoom: undefined };

const config = readConfig();
const taxis = config.kind === 'taxi';
const companies = new Companies();
const [lng, lat] = config.map.center;
const store = new Store({ lng, lat }, companies, performance.now());
const totals = new Totals();
const trail = new TrailLayer(store.originX, store.originY);
const frames = new Frames(store);
const counts = new Counts(mapBounds(config.map.bounds));
const directions = new Map<Direction, number>();
const alerts = new AlertList();
const latency = new Latency();
const inbox = new Inbox(config.topicPrefix, { store, frames, counts, totals, directions, alerts, latency });
const theme = new ThemeChoice();

const status = new Status();
const stats = new Stats({
  vehicles: taxis ? 'Taxis' : 'Trucks',
  hired: taxis ? 'Hired' : 'Loaded',
  speed: 'Mean km/h',
  rate: 'Messages/s',
});
const table = new CompanyTable(totals, companies, taxis ? 'passengers' : 'hired', (only) => {
  store.show(only, performance.now());
  // A vehicle that isn't shown isn't followed.
  if (follow.plate !== undefined && hides(follow.plate)) release();
});
const numbers = new Numbers(taxis ? 'Hired' : 'Loaded', taxis ? 'Free' : 'Empty', find);
const latencyPanel = new LatencyPanel(latency);
const about = new FlowPanel();
const card = new VehicleCard(release);
const search = new Search(
  (query) =>
    store.search(query, HITS).map((plate) => {
      const { name, shape, color } = companies.learn(store.latest(plate)!.position.companyName);
      return { plate, company: name, shape, color };
    }),
  (plate) => find(plate),
);
const layout = new Layout(document.getElementById('app')!, config, {
  badge: status.badge,
  notice: status.notice,
  announcer: status.announcer,
  search: search.element,
  stats: stats.element,
  companies: table.element,
  numbers: numbers.element,
  latency: latencyPanel.element,
  about: about.element,
  aboutButton: about.button,
  vehicle: card.element,
  theme: themeSwitch(theme),
  trail: trail.element,
});

const events: ViewEvents = {
  painted: () => overlay?.paint(),
  panned: () => follow.stop(),
  zoomed: () => remember(),
  picked: (x, y) => {
    const plate = overlay?.pick(x, y);
    if (plate !== undefined) follow.start(plate);
  },
  hovered: hint,
  failed: (reason) => status.setProblem('Part of the map is missing', reason),
};
// The map may paint before the overlay is there.
let overlay: Overlay | undefined;
// A link to a vehicle that is not known yet: it is followed once it reports.
let awaited = readAddress(location.hash);
const view = openMap();
const follow = new Follow(view, store, taxis ? STREET_ZOOM : ROAD_ZOOM, () => {
  // Whoever is followed is shown, whatever company was shown alone.
  if (follow.plate !== undefined && hides(follow.plate)) table.show(undefined);
  layout.setFollowing(follow.plate !== undefined);
  if (overlay) overlay.selected = follow.plate;
  if (follow.plate === undefined) trail.show(undefined);
  remember();
  refresh();
});
const feed = new Feed(config, (topic, payload, isRetained) =>
  inbox.take(topic, payload, { nowMs: performance.now(), epochMs: Date.now(), isRetained }),
);
const source = new Source(config, readWay(location.search), view, feed, store, frames, counts);
const countLayer = new CountLayer(layout.counts, counts);
const controls = new MapControls(
  view,
  config.map.attribution,
  () => {
    follow.stop();
    view.fit(true);
  },
  () => {
    source.switchTo(source.way === 'json' ? 'frames' : 'json');
    remember();
    look();
    refresh();
  },
);
layout.append(controls.element);
layout.watchPadding((padding) => view.setPadding(padding));
view.fit(false);

overlay = new Overlay(layout.canvas, view, store, companies);
overlay.dark = theme.dark;
overlay.beforeFrame = (nowMs) => {
  follow.step(nowMs);
  if (!view.isBehind()) countLayer.paint(view.camera(), theme.dark);
};
overlay.afterPaint = (camera) => {
  trail.paint(camera);
  countLayer.paint(camera, theme.dark);
};
overlay.start();
theme.onChange((dark) => {
  view.setDark(dark);
  if (overlay) overlay.dark = dark;
});

look();
feed.connect();

addEventListener('hashchange', () => {
  awaited = readAddress(location.hash);
  refresh();
});
addEventListener('keydown', (event) => {
  // Over the map, Esc is the dialog's.
  if (event.key === 'Escape' && !about.element.open) release();
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === '/' && !typing) {
    event.preventDefault();
    search.focus();
  }
});
setInterval(look, LOOK_MS);
setInterval(refresh, REFRESH_MS);
refresh();

function openMap(): View {
  try {
    return new BaseMap(layout.map, config.map, theme.dark, events);
  } catch (error) {
    // MapLibre says at length what is said here in few words.
    console.info('no base map', error);
    status.setProblem('No base map', 'this browser has no WebGL2; vehicles are still shown');
    layout.map.replaceChildren();
    return new PlainMap(layout.map, config.map, events);
  }
}

/** Brings the subscriptions up to date with the view. */
function look(): void {
  source.refresh(follow.plate ?? awaited.plate, performance.now());
  countLayer.shown = source.isFar;
}

/** Follows a vehicle, also one that isn't in view: it is asked for by its plate and followed once it reports. */
function find(plate: string): void {
  if (store.has(plate)) {
    follow.start(plate);
    return;
  }
  follow.stop();
  awaited = { plate, zoom: undefined };
  look();
  refresh();
}

/** Brings the panels up to date; what moves is painted by the overlay. */
function refresh(): void {
  const now = performance.now();
  const { link } = feed;
  link.lastMessageMs = inbox.lastPositionMs;
  store.sweep(now, link.phase === 'open' ? link.openedMs : undefined);
  // Without a connection no frame can come, so none is missing.
  if (link.phase === 'open') frames.sweep(now);
  alerts.sweep(now);
  const nobody = source.isFar ? counts.size === 0 : store.size === 0;
  const said = report(link, now, nobody && source.hasLooked(now));
  status.show(said);
  const sum = totals.sum();
  stats.set('vehicles', sum.vehicles > 0 ? count(sum.vehicles) : '–');
  stats.set('hired', sum.vehicles > 0 ? `${Math.round((sum.hired / sum.vehicles) * 100)} %` : '–');
  stats.set('speed', sum.vehicles > 0 ? count(sum.meanSpeed) : '–');
  stats.set('rate', count(inbox.rate(now)));
  table.refresh(now);
  numbers.refresh(sum, directions, alerts);
  latencyPanel.refresh(now);
  about.refresh({
    vehicles: sum.vehicles,
    messages: inbox.rate(now),
    bytes: inbox.byteRate(now),
    cells: source.way === 'frames' ? source.coverage.cells.size : 0,
    filters: feed.filters.size,
    isFar: source.isFar,
    isJson: source.way === 'json',
    connection: said.label,
  });
  layout.legend.hidden = !source.isFar || counts.size === 0;
  // The cells' totals know no company.
  const whose = table.only === undefined ? '' : ' of all companies';
  setText(layout.legend, `Vehicles${whose} by area. Zoom in to see them.`);
  controls.refresh();
  controls.setWay(source.way);
  layout.messages.hidden = inbox.bad === 0;
  layout.messages.textContent = `${count(inbox.bad)} unreadable messages, the last: ${inbox.lastBad}`;
  refreshFollowed(now);
}

function refreshFollowed(now: number): void {
  if (awaited.plate !== undefined && awaited.plate !== follow.plate && store.has(awaited.plate)) {
    const { plate, zoom } = awaited;
    awaited = NOBODY;
    follow.start(plate, zoom);
    return;
  }
  const plate = follow.plate ?? awaited.plate;
  const latest = plate === undefined ? undefined : store.latest(plate);
  card.show(
    plate === undefined
      ? undefined
      : {
          plate,
          position: latest?.position,
          company: latest && companies.learn(latest.position.companyName),
          ageMs: latest ? now - latest.seenMs : 0,
          offline: latest?.offline ?? false,
        },
  );
  if (follow.plate === undefined) return;
  trail.show(
    latest && {
      points: store.trail(follow.plate, now),
      destination: 'destination' in latest.position ? (latest.position as Position).destination : undefined,
      color: companies.learn(latest.position.companyName).color,
    },
  );
}

/** Whether a vehicle is of another company than the one that is shown alone. */
function hides(plate: string): boolean {
  const company = store.latest(plate)?.position.companyName;
  return table.only !== undefined && company !== undefined && company !== table.only;
}

/** Lets go of the vehicle that is followed or waited for. */
function release(): void {
  awaited = NOBODY;
  follow.stop();
  refresh();
}

function remember(): void {
  const following = follow.plate;
  const hash = writeAddress({ plate: following, zoom: following === undefined ? undefined : view.zoom() });
  if (awaited.plate === undefined || following !== undefined) {
    history.replaceState(null, '', `${location.pathname}${writeWay(source.way, location.search)}${hash}`);
  }
}

function hint(at: { x: number; y: number } | undefined): void {
  const plate = at && overlay?.pick(at.x, at.y);
  layout.hint.hidden = plate === undefined;
  layout.map.classList.toggle('over-vehicle', plate !== undefined);
  if (at === undefined || plate === undefined) return;
  const position = store.latest(plate)?.position;
  layout.hint.textContent = position ? `${plate} · ${position.companyName}` : plate;
  layout.hint.style.setProperty('--x', `${Math.round(at.x)}px`);
  layout.hint.style.setProperty('--y', `${Math.round(at.y)}px`);
}

expose({ store, inbox, feed, view, overlay, follow, source, counts });
