// Waiting for what should be so: on a condition in the page, never for a time.

/** Generous: a loaded machine without a GPU paints a map in seconds, not in frames. */
export const DEADLINE_MS = 60_000;

export async function eventually(page, what, condition, argument) {
  try {
    const handle = await page.waitForFunction(condition, argument, { timeout: DEADLINE_MS });
    return await handle.jsonValue();
  } catch (error) {
    const stats = await page.evaluate(() => JSON.stringify(window.convoy?.stats())).catch(() => 'none');
    throw new Error(`waited in vain until ${what}; stats: ${stats}; ${error.message.split('\n')[0]}`);
  }
}
