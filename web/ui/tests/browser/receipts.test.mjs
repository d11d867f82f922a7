// Receipts of answers whose documents have changed since, or are gone.

import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { boxOf } from '../fixtures/pdf.mjs';
import { KEY, LEASE, notePages, TERM } from '../mock/library.mjs';
import { axe, faultsOfHighlight, overlap } from './browser.mjs';
import { ask, closeBrowser, signIn, withPage } from './harness.mjs';

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

const kept = (page) =>
  page.evaluate(() =>
    Object.entries({ ...sessionStorage, ...localStorage })
      .flat()
      .join(' '),
  );

test('after the page is loaded anew the last answer and the earlier ones are there, until one signs out', () =>
  withPage({}, async ({ page, mock }) => {
    const done = page.locator('section.view[data-state]');
    await ask(page, 'What does the unicorn eat?');
    await done.and(page.locator('[data-state="nothing"]')).waitFor();
    await ask(page, 'When does the lease end?');
    await done.and(page.locator('[data-state="answered"]')).waitFor();
    const words = await kept(page);
    assert.doesNotMatch(words, /lease|unicorn|2033|84,000/i);
    await page.reload();
    await page.getByRole('heading', { name: 'When does the lease end?' }).waitFor();
    await page.locator('.answer').getByText('The lease ends on 31 March 2033').waitFor();
    const earlier = page.locator('.earlier');
    await earlier.getByRole('link', { name: 'What does the unicorn eat?' }).waitFor();
    assert.equal(await earlier.locator('li').count(), 1);
    // An answer that the server does not give any more is left out.
    mock.answers.delete([...mock.answers.keys()].at(-2));
    await page.reload();
    await page.locator('.answer').getByText('The lease ends on 31 March 2033').waitFor();
    assert.equal(await earlier.count(), 0);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.deepEqual(await page.evaluate(() => Object.keys(sessionStorage)), []);
    await signIn(page, 'mara');
    await page.getByText('Questions to try').waitFor();
    assert.equal(await page.locator('.answer').count(), 0);
  }));

test('one comes back to the collection used last, and first to the one with questions to try', () =>
  withPage({}, async ({ page, mock }) => {
    mock.collections.reverse();
    await page.goto(`${mock.origin}/#/status`);
    await page.goto(`${mock.origin}/`);
    await page.getByText('Questions to try').waitFor();
    const title = (name) => page.waitForFunction((words) => document.title.startsWith(words), name);
    await title('Quayside Clinic');
    await page.goto(`${mock.origin}/#/collections/c2`);
    await title('Empty matter');
    await page.goto(`${mock.origin}/#/status`);
    await title('Status');
    await page.goto('about:blank');
    await page.goto(`${mock.origin}/`);
    await title('Empty matter');
    await page.evaluate(() => localStorage.clear());
    await page.reload();
    await title('Quayside Clinic');
  }));

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
