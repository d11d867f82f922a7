// Questions: evidence, the answer as it comes, its four states, its citations.

import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { RENT, TERM } from '../mock/library.mjs';
import { axe, faultsOfHighlight, overlap, picture } from './browser.mjs';
import { announced, ask, closeBrowser, row, withPage } from './harness.mjs';

after(closeBrowser);

const view = (page, state) => page.locator(`section.view[data-state="${state}"]`);
const drawn = (page, number) => page.locator(`[data-page="${number}"][data-drawn="true"]`).waitFor();

test('evidence comes first, tokens are provisional, the checked answer takes their place', () =>
  withPage({}, async ({ page, mock }) => {
    mock.stepping = true;
    await page.getByRole('button', { name: 'When does the lease of 14 Quayside Row end?' }).click();
    await page.getByRole('heading', { name: 'Evidence' }).waitFor();
    assert.equal(await page.locator('section.view').count(), 0);
    await announced(page).getByText('6 passages found.').waitFor();
    await page.getByText('Handover note', { exact: true }).waitFor();
    await mock.go();
    await page.getByText('Reading the evidence: 2 of 6 passages read').waitFor();
    for (let at = 0; at < 4; at += 1) await mock.go();
    await page.getByText('The lease ends on').waitFor();
    await page.getByText('Provisional: not checked yet').waitFor();
    assert.equal(await page.locator('section.result').getAttribute('aria-busy'), 'true');
    assert.deepEqual(await axe(page), []);
    await picture(page, 'provisional');
    mock.stepping = false;
    while (mock.steps.length > 0) await mock.go();
    await view(page, 'answered').waitFor();
    assert.equal(await page.getByText('Provisional').count(), 0);
    await announced(page)
      .getByText(/^Answer complete: The lease ends on 31 March 2033, and/)
      .waitFor();
    assert.equal(await page.locator('section.result').getAttribute('aria-busy'), 'false');
    const names = await page
      .locator('.answer a')
      .evaluateAll((links) => links.map((link) => link.getAttribute('aria-label')));
    assert.deepEqual(names, ['source 1, page 1, verified', 'source 2, page 2, verified', 'source 3, page 1, verified']);
    await page.getByText('1 sentence was withheld').waitFor();
    assert.deepEqual(await axe(page), []);
    await picture(page, 'answer');
  }));

test('citations open the page with the quote highlighted, one after the other', () =>
  withPage({}, async ({ page }) => {
    await ask(page, 'When does the lease end?');
    await page.getByRole('link', { name: 'source 1, page 1, verified' }).click();
    await drawn(page, 1);
    assert.deepEqual(faultsOfHighlight(await overlap(page, 1, TERM)), []);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'viewer-title');
    await picture(page, 'viewer');
    assert.deepEqual(await axe(page), []);
    // The second page has a crop box that does not begin where its media box does.
    await page.keyboard.press('Alt+ArrowDown');
    await drawn(page, 2);
    await page.getByText('Source 2 of 3').waitFor();
    assert.deepEqual(faultsOfHighlight(await overlap(page, 2, RENT)), []);
    for (const name of ['Larger', 'Larger', 'Fit width']) {
      await page.getByRole('button', { name }).click();
      await drawn(page, 2);
      assert.deepEqual(faultsOfHighlight(await overlap(page, 2, RENT)), [], name);
    }
    await page.getByRole('button', { name: 'Next source' }).click();
    await page.locator('.sheet mark').getByText('kept by Jonas 𝒳').waitFor();
    assert.equal(await page.locator('.sheet mark').count(), 1);
    await page.keyboard.press('Escape');
    await page.locator('aside[data-showing]').waitFor({ state: 'detached' });
    assert.equal(await page.evaluate(() => document.activeElement.dataset.marker), '1');
  }));

test('pages are turned by number and button, the text of a PDF is shown beside its picture', () =>
  withPage({}, async ({ page, mock }) => {
    await page.getByRole('button', { name: 'Open lease-quayside-row.pdf' }).click();
    await drawn(page, 1);
    await page.getByRole('spinbutton', { name: 'Page' }).fill('3');
    await page.keyboard.press('Enter');
    await drawn(page, 3);
    await page.getByRole('button', { name: 'Previous page' }).click();
    await drawn(page, 2);
    await page.getByRole('radio', { name: 'Text' }).check();
    await page.locator('.sheet').getByText('The yearly rent is EUR 84,000').waitFor();
    await page.getByRole('button', { name: 'Next page' }).click();
    await page.locator('.sheet').getByText('Notices are given in writing').waitFor();
    assert.ok(mock.requests.filter((one) => one === 'GET /documents/lease').length <= 2);
  }));

test('a new question takes away the document that was opened from the old answer, and no other', () =>
  withPage({}, async ({ page, mock }) => {
    await ask(page, 'When does the lease end?');
    await page.getByRole('link', { name: 'source 1, page 1, verified' }).click();
    await drawn(page, 1);
    mock.stepping = true;
    await ask(page, 'What does the unicorn eat?');
    await page.locator('aside[data-showing]').waitFor({ state: 'detached' });
    mock.stepping = false;
    while (mock.steps.length > 0) await mock.go();
    await view(page, 'nothing').waitFor();
    await page.getByRole('button', { name: 'Open handover-note.md' }).click();
    await page.locator('.sheet').getByText('alarm code').waitFor();
    await ask(page, 'When does the lease end?');
    await view(page, 'answered').waitFor();
    assert.equal(await page.locator('aside[data-showing]').count(), 1);
  }));

test('a citation opens at an address of its own', () =>
  withPage({}, async ({ page, mock }) => {
    await ask(page, 'When does the lease end?');
    const link = await page.getByRole('link', { name: 'source 3, page 1, verified' }).getAttribute('href');
    await page.goto(`${mock.origin}/${link}`);
    await page.locator('.sheet mark').getByText('kept by Jonas 𝒳').waitFor();
    assert.deepEqual(await axe(page), []);
  }));

for (const [question, state, words] of [
  ['How many parking spaces are there?', 'related', 'Related text, but no answer'],
  ['What does the unicorn eat?', 'nothing', 'Nothing found'],
  ['What stands on the scan?', 'unread', 'Part of the scope could not be read'],
]) {
  test(`the state "${state}" is told apart`, () =>
    withPage({}, async ({ page }) => {
      await ask(page, question);
      await view(page, state).getByRole('heading', { name: words }).waitFor();
      await announced(page).getByText(words).waitFor();
      assert.equal(await page.locator('.answer').count(), 0);
      if (state === 'unread') await page.getByText('sealed.pdf, whole document: it needs a password').waitFor();
      if (state === 'related') assert.equal(await page.locator('.result ol li').count(), 4);
      assert.deepEqual(await axe(page), []);
      await picture(page, `state-${state}`);
    }));
}

test('the scope is the ticked documents, and is said', () =>
  withPage({}, async ({ page, mock }) => {
    await row(page, 'handover-note.md').getByRole('checkbox').check();
    await row(page, 'lease-quayside-row.pdf').getByRole('checkbox').check();
    await page.getByText('Only the 2 ticked documents').waitFor();
    await ask(page, 'When does the lease end?');
    await view(page, 'answered').waitFor();
    assert.deepEqual(mock.asked, {
      collection: 'c1',
      question: 'When does the lease end?',
      documents: ['note', 'lease'],
    });
    await page.getByRole('button', { name: 'Use the whole collection' }).click();
    await ask(page, 'And now?');
    await view(page, 'answered').waitFor();
    await page.waitForFunction(() => document.querySelector('#result-title').textContent === 'And now?');
    assert.equal('documents' in mock.asked, false);
  }));

test('a question can be stopped, which closes the connection', () =>
  withPage({}, async ({ page, mock }) => {
    mock.stepping = true;
    await ask(page, 'When does the lease end?');
    await mock.go();
    await mock.go();
    await page.getByText('Provisional: not checked yet').waitFor();
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByText('You stopped this question. Nothing below has been checked.').waitFor();
    while (mock.cancelled === 0) await new Promise((done) => setImmediate(done));
    assert.equal(await page.locator('section.view').count(), 0);
    // Stopped before a word came, nothing stands below.
    await ask(page, 'When does the lease end?');
    await page.getByRole('heading', { name: 'Evidence' }).waitFor();
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await page.getByText('You stopped this question.', { exact: true }).waitFor();
  }));

test('failures before, within and at the end of an answer are said', () =>
  withPage({}, async ({ page }) => {
    for (const [question, words] of [
      ['Please refuse', 'the model is not on this machine'],
      ['Please fail', 'the model stopped'],
      ['Please break', 'The connection was lost before the answer was complete.'],
    ]) {
      await ask(page, question);
      await page.locator('.result .notice.bad').getByText(words).waitFor();
      await announced(page).getByText(words).waitFor();
    }
  }));

test('an answer has a permanent address', () =>
  withPage({}, async ({ page }) => {
    await ask(page, 'When does the lease end?');
    const receipt = page.getByRole('link', { name: /^Receipt \d+$/ });
    await receipt.click();
    await page.getByText('This is the answer as it was given.').waitFor();
    await page.reload();
    await page.getByRole('heading', { level: 1, name: 'When does the lease end?' }).waitFor();
    await page.getByRole('link', { name: 'source 1, page 1, verified' }).click();
    await drawn(page, 1);
    assert.deepEqual(faultsOfHighlight(await overlap(page, 1, TERM)), []);
    assert.deepEqual(await axe(page), []);
  }));

test('what is copied holds the answer, its sources and the receipt', () =>
  withPage({ permissions: ['clipboard-read', 'clipboard-write'] }, async ({ page }) => {
    await ask(page, 'When does the lease end?');
    await page.getByRole('button', { name: 'Copy with citations' }).click();
    await page.getByText('Copied').first().waitFor();
    const text = await page.evaluate(() => navigator.clipboard.readText());
    assert.match(text, /^The lease ends on 31 March 2033 \[1\]/);
    assert.match(text, /\[1\] “ends on 31 March 2033\.” \(lease-quayside-row\.pdf, page 1\)/);
    assert.match(text, /Receipt \d+$/);
  }));

test('passages are found as a list', () =>
  withPage({}, async ({ page }) => {
    await page.getByRole('radio', { name: 'Find passages' }).check();
    await page.getByText('Enter finds, Shift + Enter').waitFor();
    await page.getByLabel('Words to find').fill('rent');
    await page.getByRole('button', { name: 'Find', exact: true }).click();
    await page.getByRole('heading', { name: 'Passages found' }).waitFor();
    assert.equal(await page.locator('.result ol li').count(), 6);
    assert.deepEqual(await axe(page), []);
    await page.locator('.result ol button').nth(1).click();
    await drawn(page, 2);
    assert.deepEqual(
      faultsOfHighlight(await overlap(page, 2, 'The yearly rent is EUR 84,000 in twelve equal parts.')),
      [],
    );
    await page.getByLabel('Words to find').fill('nothing');
    await page.keyboard.press('Enter');
    await page.getByText('No passage was found for these words.').waitFor();
  }));
