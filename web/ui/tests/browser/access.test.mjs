// By keyboard alone, on a narrow screen, at twice the size, in the dark, without motion; and hostile text.

import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { axe, picture } from './browser.mjs';
import { ask, closeBrowser, row, withPage } from './harness.mjs';

after(closeBrowser);

const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    return element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent ?? '';
  });

/** Presses Tab until the wanted element has the focus; a wall of stops before it is a fault. */
async function tabTo(page, wanted, most = 60) {
  for (let pressed = 0; pressed < most; pressed += 1) {
    await page.keyboard.press('Tab');
    const name = (await focused(page)).trim();
    if (wanted.test(name)) {
      const outline = await page.evaluate(() => {
        const seen = document.activeElement.closest('label.button') ?? document.activeElement;
        return getComputedStyle(seen).outlineStyle;
      });
      assert.notEqual(outline, 'none', `${name} shows no focus`);
      return;
    }
  }
  assert.fail(`no stop named ${wanted}`);
}

test('the whole way by keyboard', () =>
  withPage({}, async ({ page }) => {
    await row(page, 'handover-note.md').waitFor();
    await page.evaluate(() => document.activeElement.blur());
    await tabTo(page, /^Skip to the question$/, 1);
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'question');
    await page.keyboard.type('When does the lease end?');
    await page.keyboard.press('Enter');
    await page.locator('section.view').waitFor();
    await tabTo(page, /^source 1, page 1, verified$/);
    await page.keyboard.press('Enter');
    await page.locator('[data-page="1"][data-drawn="true"]').waitFor();
    await tabTo(page, /^Close document$/);
    await page.keyboard.press('Enter');
    assert.equal((await focused(page)).trim(), 'source 1, page 1, verified');
    await page.keyboard.press('Control+k');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'question');
  }));

test('files are picked and documents ticked by keyboard', () =>
  withPage({}, async ({ page }) => {
    await row(page, 'handover-note.md').waitFor();
    // Listening begins well before the key, because the browser has to be told of it first.
    const chosen = page.waitForEvent('filechooser');
    await tabTo(page, /^\s*Choose files/);
    await page.keyboard.press('Enter');
    const chooser = await chosen;
    assert.equal(chooser.isMultiple(), true);
    await tabTo(page, /^\s*Choose folder/);
    await tabTo(page, /^Ask of lease-quayside-row.pdf$/);
    await page.keyboard.press('Space');
    await page.getByText('Only the 1 ticked document').waitFor();
  }));

for (const [name, options] of [
  ['320 pixels wide', { viewport: { width: 320, height: 640 } }],
  ['at twice the size', { viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 }],
  ['in the dark', { colorScheme: 'dark' }],
  ['without motion', { reducedMotion: 'reduce' }],
]) {
  test(`every view ${name}`, () =>
    withPage(options, async ({ page, mock }) => {
      const whole = async (where) => {
        const wide = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        assert.equal(wide, 0, `${where} scrolls sideways by ${wide} px`);
        assert.deepEqual(await axe(page), [], where);
        await picture(page, `${where}-${name.replaceAll(' ', '-')}`);
      };
      await row(page, 'handover-note.md').waitFor();
      await whole('desk');
      await ask(page, 'When does the lease end?');
      await page.locator('section.view').waitFor();
      await whole('answer');
      await page.getByRole('link', { name: 'source 1, page 1, verified' }).click();
      await page.locator('[data-page="1"][data-drawn="true"]').waitFor();
      await whole('viewer');
      for (const view of ['audit', 'people', 'status', 'account']) {
        await page.goto(`${mock.origin}/#/${view}`);
        await page.locator('main h1').waitFor();
        await whole(view);
      }
    }));
}

test('what a document or a model writes stays text', () =>
  withPage({}, async ({ page, mock }) => {
    const hostile = '<img src=x onerror="document.title=1"><b>bold</b> [x](javascript:alert(1))';
    const held = mock.document('handover-note.md');
    held.pages[0].text = `${hostile} kept by Jonas`;
    held.pages[0].blocks = [];
    held.info.name = 'a <b>name</b>.md';
    const pages = mock.document('lease-quayside-row.pdf').pages;
    pages[0].text = `${hostile} ${pages[0].text}`;
    await page.reload();
    await page.getByRole('button', { name: 'Open a <b>name</b>.md' }).click();
    await page.locator('.sheet').getByText(hostile).waitFor();
    assert.equal(await page.locator('.sheet b, .sheet img, .documents b').count(), 0);
    assert.notEqual(await page.title(), '1');
  }));

test('an address that leads nowhere says so', () =>
  withPage({}, async ({ page, mock }) => {
    await page.goto(`${mock.origin}/#/nowhere`);
    await page.getByRole('heading', { name: 'There is nothing at this address.' }).waitFor();
    assert.deepEqual(await axe(page), []);
  }));
