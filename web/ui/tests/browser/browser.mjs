// Chromium for the tests: where it is, how it is started, what is watched on every page.

import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of NAMES) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // Not here: the next one.
      }
    }
  }
  throw new Error('no Chromium found: install it, or name it in the variable CHROMIUM');
}

export function launch() {
  return chromium.launch({
    executablePath: executable(),
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** A page with its own session, whose faults are gathered: refusals by the policy, errors, requests to elsewhere. */
export async function open(browser, origin, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const faults = [];
  await page.addInitScript(() => {
    globalThis.refused = [];
    document.addEventListener('securitypolicyviolation', (event) => {
      globalThis.refused.push(`${event.violatedDirective}: ${event.blockedURI || event.sample}`);
    });
  });
  page.on('pageerror', (error) => faults.push(`error: ${error.stack ?? error.message}`));
  page.on('console', (message) => {
    const text = message.text();
    // Answers such as 401 and 404 are part of the way and are tested as such.
    if (message.type() === 'error' && !text.startsWith('Failed to load resource')) faults.push(`console: ${text}`);
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith('data:') && !url.startsWith('blob:'))
      faults.push(`elsewhere: ${url}`);
  });
  const check = async () => {
    const refused = await page.evaluate(() => globalThis.refused);
    const all = [...faults, ...refused];
    if (all.length > 0) throw new Error(`the page had faults:\n${all.join('\n')}`);
  };
  return { context, page, check };
}

/** Faults of accessibility that matter, each with the element. The script is evaluated, because the policy refuses it as a tag. */
export async function axe(page) {
  await page.evaluate(`${AXE};0`);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }),
  );
  return violations
    .filter((one) => one.impact === 'serious' || one.impact === 'critical' || one.impact === 'moderate')
    .map(
      (one) =>
        `${one.id} (${one.impact}): ${one.nodes.map((node) => node.target.join(' ')).join(' | ')} ${one.nodes[0]?.failureSummary ?? ''}`,
    );
}

/** Keeps a picture when a folder for them is named. */
export async function picture(page, name, options = {}) {
  const folder = process.env.CLOISTER_SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), ...options });
}

/** Where words of the text layer and the boxes over them lie, in pixels of the window. */
export async function overlap(page, number, words) {
  return page.evaluate(
    ([wanted, text]) => {
      const sheet = document.querySelector(`[data-page="${wanted}"]`);
      const layer = sheet.querySelector('.textLayer');
      const nodes = [];
      const walker = document.createTreeWalker(layer, NodeFilter.SHOW_TEXT);
      let all = '';
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        for (let at = 0; at < node.data.length; at += 1) {
          if (/\s/.test(node.data[at])) continue;
          nodes.push([node, at]);
          all += node.data[at];
        }
      }
      const sought = text.replace(/\s/g, '');
      const from = all.indexOf(sought);
      const edges = ({ left, top, right, bottom }) => ({ left, top, right, bottom });
      const letters = [];
      for (let at = from; from >= 0 && at < from + sought.length; at += 1) {
        const range = document.createRange();
        range.setStart(nodes[at][0], nodes[at][1]);
        range.setEnd(nodes[at][0], nodes[at][1] + 1);
        letters.push(edges(range.getBoundingClientRect()));
      }
      const marks = [...sheet.querySelectorAll('.mark')].map((mark) => edges(mark.getBoundingClientRect()));
      const view = edges(sheet.closest('.scroller').getBoundingClientRect());
      return { found: from >= 0, text: all, letters, marks, view };
    },
    [number, words],
  );
}

/** Says what is wrong with a highlight: letters outside every box, boxes that hold other text, boxes out of sight. */
export function faultsOfHighlight({ found, text, letters, marks, view }, slack = 3) {
  if (!found) return [`the words are not in the text of the page: ${text.slice(0, 200)}`];
  if (marks.length === 0) return ['there is no highlight'];
  const faults = [];
  const outside = letters.filter(({ left, right, top, bottom }) => {
    const middle = [(left + right) / 2, (top + bottom) / 2];
    return !marks.some(
      (mark) =>
        middle[0] >= mark.left - slack &&
        middle[0] <= mark.right + slack &&
        middle[1] >= mark.top - slack &&
        middle[1] <= mark.bottom + slack,
    );
  });
  if (outside.length > 0)
    faults.push(
      `${outside.length} of ${letters.length} letters lie outside the highlight: ${JSON.stringify({ letter: outside[0], marks })}`,
    );
  for (const mark of marks) {
    const width = mark.right - mark.left;
    const within = letters.filter((one) => one.bottom > mark.top && one.top < mark.bottom);
    const covered =
      within.length === 0
        ? 0
        : Math.max(...within.map((one) => one.right)) - Math.min(...within.map((one) => one.left));
    if (covered < width * 0.75) faults.push(`a box of ${width.toFixed(0)} px covers words of ${covered.toFixed(0)} px`);
    const height = within.length === 0 ? 0 : Math.max(...within.map((one) => one.bottom - one.top));
    if (mark.bottom - mark.top > height * 2.2)
      faults.push(`a box is ${(mark.bottom - mark.top).toFixed(0)} px high over letters of ${height.toFixed(0)} px`);
  }
  const first = marks[0];
  if (first.top < view.top - 1 || first.bottom > view.bottom + 1) faults.push('the highlight is out of sight');
  return faults;
}
