// The document view: marks over several pages, long documents, gaps, keys, addresses that one has left.

import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { boxOf, makePdf } from '../fixtures/pdf.mjs';
import { LEASE, RENT, TERM } from '../mock/library.mjs';
import { axe, faultsOfHighlight, overlap, picture } from './browser.mjs';
import { ask, closeBrowser, row, withPage } from './harness.mjs';

after(closeBrowser);

const drawn = (page, number) => page.locator(`[data-page="${number}"][data-drawn="true"]`).waitFor();

async function turnTo(page, number) {
  await page.getByRole('spinbutton', { name: 'Page' }).fill(String(number));
  await page.keyboard.press('Enter');
  await drawn(page, number);
}

test('a quote that runs over two pages keeps its marks when pages are turned', () =>
  withPage({}, async ({ page, mock }) => {
    mock.boxes = [boxOf(LEASE, 1, TERM), boxOf(LEASE, 2, RENT)];
    await page.goto(`${mock.origin}/#/documents/lease?page=1&start=0&end=40`);
    await drawn(page, 1);
    assert.deepEqual(faultsOfHighlight(await overlap(page, 1, TERM)), []);
    // The page fits, though the third one is wider.
    assert.equal(await page.locator('.scroller').evaluate((scroller) => scroller.scrollLeft), 0);
    await page.getByRole('button', { name: 'Next page' }).click();
    await drawn(page, 2);
    assert.deepEqual(faultsOfHighlight(await overlap(page, 2, RENT)), []);
    await page.getByRole('button', { name: 'Previous page' }).click();
    await drawn(page, 1);
    assert.deepEqual(faultsOfHighlight(await overlap(page, 1, TERM)), []);
  }));

test('pages of a long document have their own size, gone to or scrolled to', () =>
  withPage({}, async ({ page, mock }) => {
    const words = 'Words of a page that lies on its side.';
    const upright = { width: 612, height: 792, lines: [{ x: 72, y: 700, text: 'An upright page.' }] };
    const lying = { width: 1000, height: 595, lines: [{ x: 560, y: 90, text: words }] };
    const pages = Array.from({ length: 330 }, (_, at) => (at >= 309 ? lying : upright));
    const lease = mock.document('lease-quayside-row.pdf');
    lease.bytes = makePdf(pages);
    lease.info.pages = pages.length;
    mock.boxes = [310, 325].map((number) => boxOf(pages, number, words));
    await page.goto(`${mock.origin}/#/documents/lease?page=1&start=0&end=40`);
    await drawn(page, 1);
    assert.ok((await page.locator('[data-drawn="true"]').count()) < 10, 'only what is near is drawn');
    await turnTo(page, 325);
    await page.waitForFunction(() => {
      const { width, height } = document.querySelector('[data-page="325"]').getBoundingClientRect();
      return Math.abs(width / height - 1000 / 595) < 0.01;
    });
    await drawn(page, 325);
    assert.deepEqual(faultsOfHighlight(await overlap(page, 325, words)), []);
    // By hand, without having been asked for.
    await page.locator('.scroller').evaluate((scroller) => {
      scroller.scrollTop = scroller.querySelector('[data-page="310"]').offsetTop - 100;
    });
    await drawn(page, 310);
    const { found, letters, marks } = await overlap(page, 310, words);
    assert.equal(found, true);
    const near = (a, b) => Math.abs(a - b) < 4;
    assert.equal(marks.length, 1);
    assert.ok(near(marks[0].left, letters[0].left) && near(marks[0].right, letters.at(-1).right));
  }));

test('pages that were not read are listed with the reason, and lead there', () =>
  withPage({}, async ({ page, mock }) => {
    const held = mock.document('scans/inspection-record-2025-09.pdf');
    held.ledger = Array.from({ length: 6 }, (_, at) => ({ page: at + 1, outcome: 'text', reason: null, words: 5 }));
    for (const at of [3, 4]) {
      Object.assign(held.ledger[at], { outcome: 'needs_ocr', reason: 'a picture without text', words: 0 });
    }
    held.ledger[1].problems = ['a font names no characters'];
    await page.getByRole('button', { name: 'Open scans/inspection-record-2025-09.pdf' }).click();
    const ledger = page.locator('.ledger');
    await ledger.getByText('2 of 6 pages not read').waitFor();
    await ledger.getByText('a picture without text').waitFor();
    await ledger.getByText('1 page read with faults').click();
    await ledger.getByText('a font names no characters').waitFor();
    await drawn(page, 1);
    assert.deepEqual(await axe(page), []);
    await ledger.getByRole('button', { name: 'Page 2', exact: true }).click();
    await drawn(page, 2);
    await ledger.getByRole('button', { name: 'Pages 4 to 5' }).waitFor();
    await picture(page, 'ledger');
    await page.getByRole('button', { name: 'Close document' }).click();
    await page.getByRole('button', { name: 'Open handover-note.md' }).click();
    await page.locator('.sheet').waitFor();
    assert.equal(await page.locator('.ledger details').count(), 0);
  }));

test('the parts of a text are told to assistive technology', () =>
  withPage({}, async ({ page, mock }) => {
    const held = mock.document('handover-note.md');
    const table = 'Year\tEUR\n2024\t84,000';
    const [view] = held.pages;
    const start = [...view.text].length + 2;
    view.text += `\n\n${table}`;
    const end = start + table.length;
    view.blocks.push({ kind: 'table', level: 0, start, end });
    view.blocks.push({ kind: 'table_row', level: 0, start, end: start + 8 });
    view.blocks.push({ kind: 'table_row', level: 0, start: start + 9, end });
    await page.getByRole('button', { name: 'Open handover-note.md' }).click();
    const sheet = page.locator('.sheet');
    await sheet.getByRole('heading', { name: 'Handover note', level: 3 }).waitFor();
    assert.equal(await sheet.getByRole('list').getByRole('listitem').count(), 2);
    assert.deepEqual(await sheet.getByRole('row').allInnerTexts(), ['Year\tEUR', '2024\t84,000']);
    assert.deepEqual(await axe(page), []);
  }));

test('keys that belong to a field or to an input method leave the viewer as it is', () =>
  withPage({}, async ({ page }) => {
    await ask(page, 'When does the lease end?');
    await page.getByRole('link', { name: 'source 1, page 1, verified' }).click();
    await drawn(page, 1);
    await page.getByLabel('Question', { exact: true }).focus();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Alt+ArrowDown');
    await page.getByRole('spinbutton', { name: 'Page' }).focus();
    await page.keyboard.press('Escape');
    await page.evaluate(() => {
      const send = (more) =>
        document
          .querySelector('#viewer-title')
          .dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true, cancelable: true, ...more }));
      send({ isComposing: true });
      document.body.addEventListener('keydown', (event) => event.preventDefault(), { once: true });
      send({});
    });
    await page.getByText('Source 1 of 3').waitFor();
    await page.getByRole('radio', { name: 'Text' }).focus();
    await page.keyboard.press('Escape');
    await page.locator('aside[data-showing]').waitFor({ state: 'detached' });
  }));

for (const [what, first, refused, second, shown] of [
  ['answer', '#/answers/900', '**/api/v1/answers/900', (audit) => `#/answers/${audit}`, 'When does the lease end?'],
  ['document', '#/documents/gone', '**/api/v1/documents/gone', () => '#/documents/note', 'handover-note.md'],
]) {
  test(`the late refusal of the ${what} one has left does not cover the next`, () =>
    withPage({}, async ({ page, mock }) => {
      await ask(page, 'When does the lease end?');
      await page.locator('section.view').waitFor();
      const audit = mock.records.at(-1).seq;
      let go;
      const held = new Promise((done) => {
        go = done;
      });
      await page.route(refused, async (route) => {
        await held;
        await route.fulfill({ status: 404, body: JSON.stringify({ code: 'not_found', detail: 'not here' }) });
      });
      await page.goto(`${mock.origin}/${first}`);
      await page.locator('main').getByText('Loading …').first().waitFor();
      await page.goto(`${mock.origin}/${second(audit)}`);
      await page.getByRole('heading', { name: shown }).first().waitFor();
      const late = page.waitForResponse(refused);
      go();
      await late;
      await page.waitForTimeout(100);
      assert.equal(await page.getByRole('alert').count(), 0);
      assert.equal((await page.getByRole('heading', { name: shown }).count()) > 0, true);
    }));
}

test('another address takes the document before away at once, another place in it does not', () =>
  withPage({}, async ({ page, mock }) => {
    await row(page, 'handover-note.md').waitFor();
    await page.goto(`${mock.origin}/#/documents/lease?page=1`);
    await drawn(page, 1);
    await turnTo(page, 2);
    await page.goto(`${mock.origin}/#/documents/lease?page=3`);
    await drawn(page, 3);
    assert.equal(await page.getByRole('spinbutton', { name: 'Page' }).inputValue(), '3');
    let go;
    const held = new Promise((done) => {
      go = done;
    });
    await page.route('**/api/v1/documents/note', async (route) => {
      await held;
      await route.continue();
    });
    await page.goto(`${mock.origin}/#/documents/note`);
    await page.locator('main').getByText('Loading …').first().waitFor();
    await page.locator('aside[data-showing]').waitFor({ state: 'detached' });
    go();
    await page.locator('.sheet').getByText('Handover note').waitFor();
  }));
