// The running page in Chromium: node page.mjs PAGE_URL [SCREENSHOT_DIR]
//
// One line per check. Exit status 0 when all hold, 1 at the first that doesn't, 77 where there is no Chromium.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { bringAxe, everybodyCanUseIt } from './accessible.mjs';
import { browserMayOnlyRead } from './credentials.mjs';
import { subscriptionsFollowTheView } from './view.mjs';
import { DEADLINE_MS, eventually } from './wait.mjs';

const CHROMIUMS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const FLAGS = [
  '--no-sandbox',
  // Without a GPU: WebGL in software, and the page's compositing not through it as well.
  '--use-angle=swiftshader',
  '--enable-unsafe-swiftshader',
  '--disable-gpu',
  // Nothing to anybody's servers.
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
];
const OURS = ['127.0.0.1', 'localhost', '[::1]'];

const [pageUrl, screenshotDir] = process.argv.slice(2);
if (!pageUrl) {
  console.error('usage: node page.mjs PAGE_URL [SCREENSHOT_DIR]');
  process.exit(2);
}
const executablePath = process.env.CHROMIUM ?? CHROMIUMS.find((path) => existsSync(path));
if (!executablePath || !existsSync(executablePath)) {
  console.error('no Chromium here: apt-get install chromium, or set CHROMIUM to its path');
  process.exit(77);
}

const browser = await chromium.launch({ executablePath, args: FLAGS });
try {
  await run();
} catch (error) {
  console.error(`FAILED ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}

async function run() {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme: 'light' });
  const faults = await watch(page);
  await bringAxe(page);

  const started = Date.now();
  await page.goto(pageUrl);
  await eventually(page, 'vehicles arrive', () => {
    const stats = window.convoy?.stats();
    return stats && stats.vehicles > 0 && stats.connection === 'live';
  });
  console.log(`ok the page is live, first vehicles after ${((Date.now() - started) / 1000).toFixed(1)} s`);

  await eventually(page, 'the map is painted', () => window.convoy.stats().mapComplete);
  console.log('ok the base map is painted');

  const mover = await eventually(page, 'a vehicle moves', threePositions);
  console.log(`ok ${mover} was drawn at three positions, each metres from the last`);

  await totalsChange(page);
  console.log('ok the passengers of a company have changed');

  const followed = await followByClick(page);
  console.log(`ok a click follows ${followed}, the camera stays with it, Esc lets go`);

  const config = JSON.parse(await page.locator('#config').textContent());
  for (const line of await browserMayOnlyRead(config, new URL(pageUrl).hostname, DEADLINE_MS))
    console.log(`ok ${line}`);
  const intruder = await page.evaluate(() =>
    window.convoy.plates().find((plate) => plate.startsWith('PROBE')),
  );
  if (intruder) throw new Error(`${intruder}, which was refused, is on the map`);

  for (const line of await subscriptionsFollowTheView(page)) console.log(`ok ${line}`);
  for (const line of await everybodyCanUseIt(page)) console.log(`ok ${line}`);

  if (screenshotDir) await screenshots(page);
  const violations = await page.evaluate(() => window.cspViolations);
  const all = [...faults, ...violations];
  if (all.length > 0) throw new Error(`the page is not clean:\n  ${all.join('\n  ')}`);
  console.log('ok no request to another host, no console error, no policy violation');
}

/** Collects what a clean page doesn't do; other hosts are not reached at all. */
async function watch(page) {
  const faults = [];
  await page.addInitScript(() => {
    window.cspViolations = [];
    addEventListener('securitypolicyviolation', (event) => {
      window.cspViolations.push(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.route('**/*', (route) => {
    const { protocol, hostname, href } = new URL(route.request().url());
    if (!protocol.startsWith('http') || OURS.includes(hostname)) return route.continue();
    faults.push(`request: ${href}`);
    return route.abort();
  });
  page.on('websocket', (socket) => {
    if (!OURS.includes(new URL(socket.url()).hostname)) faults.push(`websocket: ${socket.url()}`);
  });
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  page.on('response', (response) => {
    if (response.status() >= 400) faults.push(`status ${response.status()}: ${response.url()}`);
  });
  return faults;
}

/** In the page: the plate of a vehicle that has been drawn at three places, at least 3 m apart each. */
function threePositions() {
  const METRES_PER_DEGREE = 111_320;
  window.seenPositions ??= new Map();
  for (const plate of window.convoy.plates()) {
    const { lng, lat } = window.convoy.vehicle(plate);
    const seen = window.seenPositions.get(plate) ?? [];
    const last = seen.at(-1);
    const moved =
      last === undefined ||
      Math.hypot((lng - last.lng) * Math.cos((lat * Math.PI) / 180), lat - last.lat) * METRES_PER_DEGREE > 3;
    if (moved) seen.push({ lng, lat });
    window.seenPositions.set(plate, seen);
    if (seen.length >= 3) return plate;
  }
  return undefined;
}

async function totalsChange(page) {
  await eventually(page, 'totals are shown', () => document.querySelector('.companies tbody tr') !== null);
  // In the page: whether any company's number of passengers is not what it was at the first look.
  await eventually(page, 'the totals change', () => {
    const passengers = [...document.querySelectorAll('.companies tbody tr')]
      .map((row) => `${row.dataset.company} ${row.querySelector('td.main').textContent}`)
      .sort()
      .join(', ');
    window.firstPassengers ??= passengers;
    return passengers !== window.firstPassengers;
  });
}

async function followByClick(page) {
  const deadline = Date.now() + DEADLINE_MS;
  let followed = null;
  // A vehicle drives on between the look and the click, so the first click may miss.
  while (followed === null && Date.now() < deadline) {
    const target = await eventually(page, 'a vehicle is in the open', () =>
      window.convoy
        .plates()
        .map((plate) => window.convoy.vehicle(plate))
        .find(({ x, y }) => document.elementFromPoint(x, y)?.closest('.map')),
    );
    await page.mouse.click(target.x, target.y);
    followed = (await page.evaluate(() => window.convoy.stats())).following;
  }
  if (followed === null) throw new Error('no click on a vehicle followed it');
  await eventually(
    page,
    'its card is shown',
    (plate) => document.querySelector('.vehicle:not([hidden]) .plate')?.textContent === plate,
    followed,
  );
  if (!page.url().includes(`plate=${followed}`))
    throw new Error(`the address doesn't name ${followed}: ${page.url()}`);
  await eventually(
    page,
    'the camera has closed in and the vehicle is near the middle',
    (plate) => {
      const { x, y } = window.convoy.vehicle(plate);
      const panel = document.querySelector('.top').getBoundingClientRect().right;
      const away = Math.hypot(x - (panel + innerWidth) / 2, y - innerHeight / 2);
      const zoom = Number(new URLSearchParams(location.hash.slice(1)).get('zoom'));
      return zoom >= 12 && away < Math.min(innerWidth, innerHeight) * 0.3;
    },
    followed,
  );
  await page.keyboard.press('Escape');
  await eventually(
    page,
    'Esc lets go',
    () => window.convoy.stats().following === null && !location.hash.includes('plate'),
  );
  return followed;
}

async function screenshots(page) {
  await page.getByRole('button', { name: 'Show the whole map' }).click();
  await eventually(page, 'the whole map is shown', () => window.convoy.stats().mapComplete);
  await page.getByRole('button', { name: 'Zoom in' }).click();
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await eventually(
      page,
      `the map is ${colorScheme}`,
      (scheme) => document.documentElement.dataset.theme === scheme && window.convoy.stats().mapComplete,
      colorScheme,
    );
    const path = join(screenshotDir, `screenshot-${colorScheme}.png`);
    await page.screenshot({ path });
    console.log(`ok ${path}`);
  }
}
