// Long lists, many uploads, where files may be dropped, what readers and managers may do.

import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { axe } from './browser.mjs';
import { announced, closeBrowser, row, withPage } from './harness.mjs';

after(closeBrowser);

const picker = (page) => page.locator('input[type=file]:not([webkitdirectory])');
const file = (name) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(name) });
const TICK = /^Tick /;

/** Holds uploads back until the function it returns is called. */
function hold(mock) {
  let go;
  mock.holdUploads = new Promise((done) => {
    go = done;
  });
  return go;
}

/** Adds documents that are ready, by name after those that are there. */
function fill(mock, amount) {
  const { info } = mock.document('handover-note.md');
  for (let at = 0; at < amount; at += 1) {
    const number = String(at).padStart(4, '0');
    mock.held.push({ info: { ...info, id: `x${number}`, name: `x-${number}.md` }, pages: [], bytes: Buffer.from('') });
  }
}

/** Sends a drag event with files to the page; says whether the page kept the browser from taking them. */
function drag(page, kind) {
  return page.evaluate((type) => {
    const event = new Event(type, { bubbles: true, cancelable: true });
    const transfer = { types: ['Files'], files: [new File(['a'], 'a.txt')], items: [], dropEffect: '' };
    Object.defineProperty(event, 'dataTransfer', { value: transfer });
    document.querySelector('main').dispatchEvent(event);
    return [event.defaultPrevented, transfer.dropEffect];
  }, kind);
}

test('files go to the collection they were dropped on, whatever is chosen meanwhile', () =>
  withPage({}, async ({ page, mock }) => {
    await row(page, 'handover-note.md').waitFor();
    await page.evaluate(() => {
      const entry = {
        isFile: true,
        name: 'slow.txt',
        file: (done) => {
          globalThis.hand = () => done(new File(['slow'], 'slow.txt'));
        },
      };
      const event = new Event('drop', { bubbles: true, cancelable: true });
      const items = [{ kind: 'file', webkitGetAsEntry: () => entry }];
      Object.defineProperty(event, 'dataTransfer', { value: { types: ['Files'], files: [], items } });
      document.body.dispatchEvent(event);
    });
    await page.getByRole('link', { name: 'Empty matter' }).click();
    await page.getByText('Add documents to ask questions of them.').waitFor();
    await page.evaluate(() => globalThis.hand());
    await page.getByRole('link', { name: 'Quayside Clinic' }).click();
    await row(page, 'slow.txt').getByText('Queued').waitFor();
    assert.equal(mock.document('slow.txt').info.collection, 'c1');
  }));

test('a file dropped where none is taken is refused, not opened', () =>
  withPage({}, async ({ page, mock }) => {
    await row(page, 'handover-note.md').waitFor();
    assert.deepEqual(await drag(page, 'dragover'), [true, 'copy']);
    for (const view of ['audit', 'status', 'people', 'account', 'nowhere']) {
      await page.goto(`${mock.origin}/#/${view}`);
      await page.locator('main h1').waitFor();
      assert.deepEqual(await drag(page, 'dragover'), [true, 'none'], view);
      assert.deepEqual(await drag(page, 'drop'), [true, 'none'], view);
    }
    assert.equal(mock.requests.filter((one) => /^POST .*documents/.test(one)).length, 0);
  }));

test('a reader downloads, and neither adds, retries nor removes', () =>
  withPage({ user: null }, async ({ page, mock }) => {
    mock.level = 'read';
    await page.getByLabel('Name').fill('jonas');
    await page.getByLabel('Password').fill(mock.users[1].password);
    await page.keyboard.press('Enter');
    const download = row(page, 'lease-quayside-row.pdf').getByRole('link', { name: 'Download lease-quayside-row.pdf' });
    assert.equal(await download.getAttribute('href'), '/api/v1/documents/lease/original?download=1');
    for (const name of [/^Remove/, /^Retry/]) assert.equal(await page.getByRole('button', { name }).count(), 0);
    assert.equal(await row(page, 'sealed.pdf').locator('.actions').count(), 0);
    assert.deepEqual(await drag(page, 'dragover'), [true, 'none']);
    assert.deepEqual(await axe(page), []);
  }));

test('a filter looks through the whole collection, and ticking ticks what is shown', () =>
  withPage({ user: null }, async ({ page, mock }) => {
    fill(mock, 420);
    await page.getByLabel('Name').fill('mara');
    await page.getByLabel('Password').fill(mock.users[0].password);
    await page.keyboard.press('Enter');
    await row(page, 'x-0100.md').waitFor();
    assert.equal(await row(page, 'x-0419.md').count(), 0);
    await page.getByText('All of Quayside Clinic · 424 documents').waitFor();
    await page.getByRole('checkbox', { name: 'Tick the 199 ready documents shown' }).waitFor();
    await row(page, 'handover-note.md').getByRole('checkbox').check();
    await page.getByLabel('Filter by name').fill('X-041');
    await row(page, 'x-0419.md').waitFor();
    assert.equal(await page.locator('.documents li').count(), 10);
    const all = page.getByRole('checkbox', { name: TICK });
    await page.getByText('Tick the 10 ready documents shown').waitFor();
    await all.check();
    await page.getByText('Only the 11 ticked documents').waitFor();
    await page.getByLabel('Filter by name').fill('x-0418');
    await page.getByLabel('Filter by name').fill('x-041');
    assert.equal(await all.isChecked(), true);
    await all.uncheck();
    await page.getByText('Only the 1 ticked document').waitFor();
    await page.getByLabel('Filter by name').fill('no such name');
    await page.getByText('No document has this in its name.').waitFor();
    await page.getByLabel('Filter by name').fill('');
    await page.getByText('Tick all ready documents').waitFor();
    await all.check();
    await page.getByText('Only the 423 ticked documents').waitFor();
  }));

test('all uploads are cancelled at once, and leaving while they go is asked about', () =>
  withPage({}, async ({ page, mock }) => {
    await row(page, 'handover-note.md').waitFor();
    const leaves = () =>
      page.evaluate(() => {
        const event = new Event('beforeunload', { cancelable: true });
        globalThis.dispatchEvent(event);
        return !event.defaultPrevented;
      });
    assert.equal(await leaves(), true);
    const go = hold(mock);
    await picker(page).setInputFiles(['a.txt', 'b.txt', 'c.txt', 'd.txt'].map(file));
    const cancel = page.getByRole('button', { name: 'Cancel all: 4 uploads' });
    await cancel.waitFor();
    assert.equal(await leaves(), false);
    assert.deepEqual(await axe(page), []);
    await cancel.click();
    await announced(page).getByText('4 uploads cancelled.').waitFor();
    await cancel.waitFor({ state: 'detached' });
    assert.equal(await row(page, 'c.txt').count(), 0);
    assert.equal(await leaves(), true);
    assert.equal(mock.requests.filter((one) => one === 'POST /collections/c1/documents').length, 2);
    mock.holdUploads = null;
    go();
  }));

test('a collection is removed by those who manage it, after a question that names its documents', () =>
  withPage({}, async ({ page, mock }) => {
    const remove = page.getByRole('button', { name: 'Remove the collection Quayside Clinic' });
    await page.getByRole('button', { name: 'Open handover-note.md' }).click();
    await page.locator('.sheet').waitFor();
    await remove.click();
    const dialog = page.getByRole('dialog', { name: 'Remove the collection “Quayside Clinic”?' });
    await dialog.getByText('All of its 4 documents are deleted').waitFor();
    assert.deepEqual(await axe(page), []);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await dialog.waitFor({ state: 'detached' });
    assert.equal(mock.collections.length, 2);
    await remove.click();
    await dialog.getByRole('button', { name: 'Remove collection' }).click();
    await dialog.waitFor({ state: 'detached' });
    await announced(page).getByText('Collection Quayside Clinic removed.').waitFor();
    await page.getByRole('heading', { name: 'Empty matter', level: 2 }).waitFor();
    await page.waitForFunction(() => document.activeElement.id === 'collections-title');
    assert.equal(await page.locator('aside[data-showing]').count(), 0);
    assert.equal(await page.getByRole('link', { name: 'Quayside Clinic' }).count(), 0);
    await page.getByRole('button', { name: 'Remove the collection Empty matter' }).click();
    await page.getByText('It holds no documents.').waitFor();
    await page.getByRole('button', { name: 'Remove collection', exact: true }).click();
    await page.getByRole('heading', { name: 'Start with a collection' }).waitFor();
    assert.deepEqual(await axe(page), []);
  }));

test('a collection is not removed by those who only write', () =>
  withPage({ user: null }, async ({ page, mock }) => {
    mock.level = 'write';
    await page.getByLabel('Name').fill('jonas');
    await page.getByLabel('Password').fill(mock.users[1].password);
    await page.keyboard.press('Enter');
    await row(page, 'handover-note.md').waitFor();
    assert.equal(await page.getByRole('button', { name: /^Remove the collection/ }).count(), 0);
  }));

test('a dialog gives the focus back, and stays while its work goes on', () =>
  withPage({}, async ({ page }) => {
    const name = 'Remove handover-note.md';
    await page.getByRole('button', { name }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await dialog.waitFor({ state: 'detached' });
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), name);
    let go;
    const held = new Promise((done) => {
      go = done;
    });
    await page.route('**/api/v1/documents/note', async (route) => {
      if (route.request().method() === 'DELETE') await held;
      await route.continue();
    });
    await page.getByRole('button', { name }).click();
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await dialog.getByRole('button', { name: 'Cancel' }).click({ force: true });
    assert.equal(await dialog.count(), 1);
    go();
    await dialog.waitFor({ state: 'detached' });
    await row(page, 'handover-note.md').waitFor({ state: 'detached' });
  }));
