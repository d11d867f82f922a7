// Receipts of answers whose documents have changed since, or are gone.

import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { boxOf } from '../fixtures/pdf.mjs';
import { KEY, LEASE, notePages, TERM } from '../mock/library.mjs';
import { axe, faultsOfHighlight, overlap } from './browser.mjs';
import { ask, closeBrowser, withPage } from './harness.mjs';

after(closeBrowser);

const NOTE = 'handover-note.md';
/** As long as the first version, so that its offsets would mark something here. */
const CHANGED = '# Handover note\n\nThe key of the archive is lost by Jonas 𝒳.';
const CURRENT = 'Open the current version, 2';

/** Asks, lets `change` happen, and opens the receipt. */
async function receiptAfter({ page, mock }, change) {
  await ask(page, 'When does the lease end?');
  await page.locator('section[data-state="answered"]').waitFor();
  const audit = [...mock.answers.keys()].at(-1);
  change(mock.answers.get(audit));
  await page.goto(`${mock.origin}/#/answers/${audit}`);
  await page.getByText('This is the answer as it was given').waitFor();
}

const openSource = (page, marker) => page.locator(`.answer a[data-marker="${marker}"]`).click();

test('a receipt shows the version that was cited, says so, and leads to the current one', () =>
  withPage({}, async ({ page, mock }) => {
    await receiptAfter({ page, mock }, () => mock.replace(NOTE, notePages(CHANGED)));
    await openSource(page, 3);
    await page
      .getByText('Version 1, replaced on 22 Nov 2026 by version 2. This is the text as it was cited.')
      .waitFor();
    await page.locator('.sheet mark').getByText(KEY).waitFor();
    assert.equal(await page.getByText('is lost by').count(), 0);
    assert.match(await page.getByRole('link', { name: 'Download' }).getAttribute('href'), /version=1/);
    assert.deepEqual(await axe(page), []);
    // In a tab of its own, the mark leads to the same version.
    const link = await page.locator('.answer a[data-marker="3"]').getAttribute('href');
    await page.getByRole('link', { name: CURRENT }).click();
    await page.locator('.sheet').getByText('is lost by').waitFor();
    assert.equal(await page.locator('.sheet mark').count(), 0);
    assert.equal(await page.getByText('replaced on').count(), 0);
    await page.goto(`${mock.origin}/${link}`);
    await page.getByText('Version 1, replaced on').waitFor();
    await page.locator('.sheet mark').getByText(KEY).waitFor();
  }));

test('a replaced PDF is drawn in the version that was cited', () =>
  withPage({}, async ({ page, mock }) => {
    const name = 'lease-quayside-row.pdf';
    await receiptAfter({ page, mock }, () => mock.replace(name, notePages(CHANGED)));
    Object.assign(mock.document(name).info, { format: 'markdown' });
    mock.document(name).bytes = Buffer.from(CHANGED);
    mock.boxes = [boxOf(LEASE, 1, TERM)];
    await openSource(page, 1);
    await page.locator('[data-page="1"][data-drawn="true"]').waitFor();
    await page.getByText('Version 1, replaced on').waitFor();
    assert.deepEqual(faultsOfHighlight(await overlap(page, 1, TERM)), []);
    assert.ok(mock.requests.includes('GET /documents/lease/original?version=1'));
  }));

test('of a document that was removed the quote is shown alone', () =>
  withPage({}, async ({ page, mock }) => {
    await receiptAfter({ page, mock }, (answer) => {
      mock.held = mock.held.filter((held) => held.info.name !== NOTE);
      Object.assign(answer.citations[2], { verified: false, boxes: [] });
      Object.assign(answer.passages[2], { text: '', boxes: [] });
    });
    await page.getByText('Not verified').waitFor();
    await page.getByText('Its text is no longer here.').waitFor();
    await openSource(page, 3);
    await page.getByText('This document is no longer here.').waitFor();
    await page.locator('aside blockquote').getByText(KEY).waitFor();
    assert.equal(await page.locator('mark').count(), 0);
    assert.deepEqual(await axe(page), []);
  }));

test('nothing is marked where the version is not known, is not there, or does not hold the quote', () =>
  withPage({}, async ({ page, mock }) => {
    const audits = [];
    for (const version of [null, 7, 1]) {
      await page.goto(`${mock.origin}/#/`);
      await receiptAfter({ page, mock }, (answer) =>
        Object.assign(answer.citations[2], { version, verified: false, boxes: [] }),
      );
      audits.push(page.url());
    }
    for (const [at, words] of [
      'does not tell from which version',
      'The text of version 7 is not here.',
      'The quote was not found at its place in this version',
    ].entries()) {
      await page.goto(audits[at]);
      await page.getByText('This is the answer as it was given').waitFor();
      await openSource(page, 3);
      await page.getByText(words).waitFor();
      assert.equal(await page.locator('mark').count(), 0, words);
      assert.equal(await page.locator('aside blockquote').count(), at === 2 ? 0 : 1, words);
      await page.keyboard.press('Escape');
    }
  }));
