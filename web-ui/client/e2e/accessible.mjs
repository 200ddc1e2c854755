// What axe finds, in light and dark, wide and narrow; and that nothing has to be scrolled sideways on a phone.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { eventually } from './wait.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const NARROW = { width: 360, height: 740 };
const SERIOUS = ['serious', 'critical'];

/** Before the page is opened: from then on axe is there, in a way that the page's policy has no say in. */
export async function bringAxe(page) {
  await page.addInitScript({ content: readFileSync(AXE, 'utf8') });
}

/** One line per thing shown; throws at the first that isn't so. Leaves the page as wide as it was. */
export async function everybodyCanUseIt(page) {
  const wide = page.viewportSize();
  const lines = [];
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await eventually(
      page,
      `the page is ${colorScheme}`,
      (scheme) => document.documentElement.dataset.theme === scheme,
      colorScheme,
    );
    await check(page, `${colorScheme}, wide`);
  }
  await page.getByRole('button', { name: 'How it works' }).click();
  await eventually(page, 'it explains itself', () =>
    /per second come in/.test(document.querySelector('.about').textContent),
  );
  await check(page, 'dark, with the panel that explains it');
  await page.keyboard.press('Escape');
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(NARROW);
  for (const name of ['folded', 'unfolded']) {
    if (name === 'unfolded') await page.getByRole('button', { name: 'More numbers' }).click();
    const [content, screen] = await eventually(
      page,
      'the page is narrow',
      () =>
        innerWidth === 360 && [
          Math.max(
            ...[...document.querySelectorAll('html, body, .sheet, .scroll, .top')].map((e) => e.scrollWidth),
          ),
          innerWidth,
        ],
    );
    if (content > screen) throw new Error(`${name}, the page is ${content} px wide on ${screen}`);
    await check(page, `narrow, ${name}`);
  }
  await page.getByRole('button', { name: 'More numbers' }).click();
  await page.setViewportSize(wide);
  await page.emulateMedia({ reducedMotion: 'no-preference' });
  lines.push('axe finds nothing serious, in light and dark, wide and narrow', 'nothing is wider than 360 px');
  return lines;
}

async function check(page, where) {
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const found = violations
    .filter(({ impact }) => SERIOUS.includes(impact))
    .map(
      ({ id, nodes }) =>
        `${id}: ${nodes.map((node) => `${node.target} (${node.any[0]?.message ?? ''})`).join('; ')}`,
    );
  if (found.length > 0) throw new Error(`${where}, axe finds:\n  ${found.join('\n  ')}`);
}
