// What the page takes from the broker follows what it shows.

import { DEADLINE_MS, eventually } from './wait.mjs';

/** One line per thing shown; throws at the first that isn't so. Begins and ends with the whole map. */
export async function subscriptionsFollowTheView(page) {
  await wholeMap(page);
  const all = await page.evaluate(() => window.convoy.plates());
  const lines = [await panning(page)];
  lines.push(await searching(page, all));
  lines.push(await farOut(page));
  lines.push(await everyPosition(page));
  lines.push(await oneCompany(page));
  return lines;
}

async function wholeMap(page) {
  await page.getByRole('button', { name: 'Show the whole map' }).click();
  await eventually(page, 'the whole map is shown', () => {
    const { mapComplete, vehicles, isFar, drawn } = window.convoy.stats();
    return mapComplete && !isFar && vehicles > 0 && drawn === vehicles;
  });
}

async function panning(page) {
  const first = await cells(page);
  if (first.length === 0) throw new Error('no map cell is subscribed to');
  const others = await page.evaluate(() =>
    window.convoy.stats().filters.filter((filter) => filter.includes('vehicle_updates')),
  );
  if (others.length > 0) throw new Error(`positions are subscribed to as well: ${others}`);
  let zoomed = first;
  const deadline = Date.now() + DEADLINE_MS;
  while (zoomed.length > first.length / 3 && Date.now() < deadline) {
    await page.getByRole('button', { name: 'Zoom in', exact: true }).click();
    await eventually(page, 'the map is zoomed', () => window.convoy.stats().mapComplete);
    zoomed = await cells(page);
  }
  const isOther = (now) =>
    now.some((cell) => !zoomed.includes(cell)) && zoomed.some((cell) => !now.includes(cell));
  let panned = zoomed;
  while (!isOther(panned) && Date.now() < deadline) {
    await page.mouse.move(900, 200);
    await page.mouse.down();
    await page.mouse.move(900, 750, { steps: 5 });
    await page.mouse.up();
    await eventually(page, 'the map has come to rest', () => window.convoy.stats().mapComplete);
    panned = await cells(page);
  }
  if (!isOther(panned)) throw new Error(`a pan changes no subscription: ${zoomed} and then ${panned}`);
  await eventually(page, 'vehicles of the new cells come', () => window.convoy.stats().vehicles > 0);
  return `${first.length} map cells are subscribed to, closer ${zoomed.length}; a pan takes new ones and drops old ones`;
}

/** A vehicle out of view is found by its plate, by its own topic, and let go of. */
async function searching(page, all) {
  const plate = await eventually(
    page,
    'a vehicle is out of view',
    (plates) => plates.find((plate) => !window.convoy.plates().includes(plate)),
    all,
  );
  await page.keyboard.press('/');
  await page.keyboard.type(plate);
  await page.keyboard.press('Enter');
  await eventually(page, `${plate} is followed`, (plate) => window.convoy.stats().following === plate, plate);
  await eventually(
    page,
    'its own topic says where it goes',
    (plate) =>
      window.convoy.stats().filters.includes(`fleet/vehicle_updates/${plate}`) &&
      /^\S+-\d+/.test(document.querySelector('[data-fact=trip] dd').textContent),
    plate,
  );
  await page.keyboard.press('Escape');
  await eventually(
    page,
    'its own topic is let go of',
    () => !window.convoy.stats().filters.some((filter) => filter.includes('vehicle_updates')),
  );
  await wholeMap(page);
  return `${plate}, out of view, is found by its plate and followed by its own topic`;
}

async function farOut(page) {
  const deadline = Date.now() + DEADLINE_MS;
  const isFar = () => page.evaluate(() => window.convoy.stats().isFar);
  while (!(await isFar()) && Date.now() < deadline) {
    await page.getByRole('button', { name: 'Zoom out' }).click();
    await eventually(page, 'the map is zoomed', () => window.convoy.stats().mapComplete);
  }
  await eventually(page, 'cells are counted', () => {
    const { isFar, filters, vehicles } = window.convoy.stats();
    return isFar && vehicles > 0 && !filters.some((filter) => filter.startsWith('fleet/map/'));
  });
  await eventually(page, 'it says so', () => !document.querySelector('.legend').hidden);
  await wholeMap(page);
  return 'far out, vehicles are counted by cell, and no frame is taken';
}

async function everyPosition(page) {
  const button = page.getByRole('button', { name: 'Every position as JSON' });
  await button.click();
  await eventually(page, 'all positions are taken', () => {
    const { filters, vehicles, connection } = window.convoy.stats();
    const has = (family) => filters.some((filter) => filter.startsWith(`fleet/${family}/`));
    return vehicles > 0 && connection === 'live' && has('vehicle_updates') && !has('map');
  });
  if (!page.url().includes('feed=json')) throw new Error(`the address doesn't say so: ${page.url()}`);
  await button.click();
  await eventually(page, 'cells are taken again', () => {
    const { filters, vehicles } = window.convoy.stats();
    return vehicles > 0 && !filters.some((filter) => filter.includes('vehicle_updates'));
  });
  if (page.url().includes('feed=json')) throw new Error(`the address still says so: ${page.url()}`);
  return 'a switch takes every position as JSON, and the cells again';
}

async function oneCompany(page) {
  const button = page.locator('.companies tbody button').first();
  await button.click();
  await eventually(page, 'one company is shown alone', () => {
    const { drawn, vehicles } = window.convoy.stats();
    return (
      drawn > 0 &&
      drawn < vehicles &&
      document.querySelectorAll('.companies [aria-pressed=true]').length === 1
    );
  });
  // The rows may have changed places meanwhile.
  await page.locator('.companies [aria-pressed=true]').focus();
  await page.keyboard.press('Enter');
  await eventually(page, 'all are shown again', () => {
    const { drawn, vehicles } = window.convoy.stats();
    return drawn === vehicles && document.querySelector('.companies [aria-pressed=true]') === null;
  });
  return 'a click on a company shows it alone, Enter shows all again';
}

function cells(page) {
  return page.evaluate(() =>
    window.convoy
      .stats()
      .filters.filter((filter) => filter.startsWith('fleet/map/'))
      .map((filter) => filter.slice('fleet/map/'.length)),
  );
}
