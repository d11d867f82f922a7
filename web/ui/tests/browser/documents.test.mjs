// Adding documents and what the list says of them.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { axe, picture } from './browser.mjs';
import { announced, closeBrowser, row, withPage } from './harness.mjs';

after(closeBrowser);

const FILES = { name: 'new.txt', mimeType: 'text/plain', buffer: Buffer.from('some words') };
const picker = (page) => page.locator('input[type=file]:not([webkitdirectory])');

test('a file goes from the picker to ready, each state as the server says it', () =>
  withPage({}, async ({ page, mock }) => {
    await row(page, 'handover-note.md').waitFor();
    await picker(page).setInputFiles(FILES);
    const added = row(page, 'new.txt');
    await added.getByText('Queued').waitFor();
    mock.move('new.txt', { state: 'reading', page: 3, pages: 12, seconds_left: 41 });
    await added.getByText('Reading page 3 of 12, about 50 s left').waitFor();
    const bar = added.getByRole('progressbar', { name: 'Reading new.txt' });
    assert.equal(await bar.getAttribute('aria-valuenow'), '25');
    assert.equal(await added.getByRole('checkbox').isDisabled(), true);
    await picture(page, 'reading');
    mock.move('new.txt', { state: 'embedding' });
    await added.getByText('Indexing').waitFor();
    mock.move('new.txt', { state: 'partial', gaps: [{ page: 9, reason: 'a picture without text' }] });
    await added.getByText('Ready with gaps').waitFor();
    await announced(page).getByText('new.txt is ready with gaps: 1 page unread.').waitFor();
    await added.locator('summary').click();
    await added.getByText('Page 9: a picture without text').waitFor();
    assert.deepEqual(await axe(page), []);
  }));

test('a folder keeps its paths, from the picker and from a drop', () =>
  withPage({}, async ({ page, mock }) => {
    const folder = mkdtempSync(join(tmpdir(), 'page-'));
    try {
      mkdirSync(join(folder, 'matter/letters'), { recursive: true });
      writeFileSync(join(folder, 'matter/a.txt'), 'a');
      writeFileSync(join(folder, 'matter/letters/b.txt'), 'b');
      await page.locator('input[webkitdirectory]').setInputFiles(join(folder, 'matter'));
      await row(page, 'matter/letters/b.txt').getByText('Queued').waitFor();
      await row(page, 'matter/a.txt').getByText('Queued').waitFor();
    } finally {
      rmSync(folder, { recursive: true });
    }
    // A drop hands out entries: a folder that gives its files in two pieces, as browsers do for large ones.
    await page.evaluate(() => {
      const file = (name) => ({ isFile: true, name, file: (done) => done(new File([name], name)) });
      const pieces = [[file('c.txt')], [file('d.txt'), file('.DS_Store')], []];
      const dropped = {
        isFile: false,
        isDirectory: true,
        name: 'dropped',
        createReader: () => ({ readEntries: (done) => done(pieces.shift()) }),
      };
      const event = new Event('drop', { bubbles: true, cancelable: true });
      Object.defineProperty(event, 'dataTransfer', {
        value: { types: ['Files'], files: [], items: [{ kind: 'file', webkitGetAsEntry: () => dropped }] },
      });
      document.body.dispatchEvent(event);
    });
    await row(page, 'dropped/c.txt').getByText('Queued').waitFor();
    await row(page, 'dropped/d.txt').getByText('Queued').waitFor();
    assert.equal(
      mock.held.some((one) => one.info.name.includes('DS_Store')),
      false,
    );
  }));

test('duplicates, unchanged files and refusals say so and offer what can be done', () =>
  withPage({}, async ({ page, mock }) => {
    const bytes = mock.document('handover-note.md').bytes;
    await picker(page).setInputFiles([
      { name: 'copy.md', mimeType: 'text/markdown', buffer: bytes },
      { name: 'handover-note.md', mimeType: 'text/markdown', buffer: bytes },
    ]);
    await row(page, 'copy.md').getByText('Duplicate of handover-note.md').waitFor();
    await page.getByText('Already here, unchanged', { exact: true }).waitFor();
    assert.deepEqual(await axe(page), []);
    await page.getByRole('button', { name: /^Keep both: copy.md/ }).click();
    await row(page, 'copy.md').getByText('Queued').waitFor();
    mock.refuseUploads = Object.assign(new Error('no space left'), { status: 507, code: 'disk_full' });
    await picker(page).setInputFiles(FILES);
    await row(page, 'new.txt').getByText('The disk of the appliance is full.').waitFor();
    mock.refuseUploads = null;
    await page.getByRole('button', { name: 'Retry: upload new.txt again' }).click();
    await row(page, 'new.txt').getByText('Queued').waitFor();
  }));

test('a file in the place of another takes its old note away and says which version it is', () =>
  withPage({}, async ({ page, mock }) => {
    const name = 'handover-note.md';
    const send = (buffer) => picker(page).setInputFiles([{ name, mimeType: 'text/markdown', buffer }]);
    await send(mock.document(name).bytes);
    await page.getByText('Already here, unchanged', { exact: true }).waitFor();
    await send(Buffer.from('other words'));
    await page.getByText('New version 2; until it has been read, version 1 is searched').waitFor();
    await page.getByText('Already here, unchanged', { exact: true }).waitFor({ state: 'detached' });
    mock.move(name, { state: 'ready', pages: 1 });
    await page.getByText('Replaced: version 2', { exact: true }).waitFor();
    assert.deepEqual(await axe(page), []);
    await page.getByRole('button', { name: `Dismiss the note on ${name}` }).click();
    await page.getByText('Replaced: version 2', { exact: true }).waitFor({ state: 'detached' });
  }));

test('a failed document says why and is read again', () =>
  withPage({}, async ({ page, mock }) => {
    const sealed = row(page, 'sealed.pdf');
    await sealed.getByText('It is protected by a password.').waitFor();
    const retry = page.getByRole('button', { name: 'Retry: read sealed.pdf again' });
    assert.equal(await retry.getAttribute('aria-describedby'), 'reason-sealed');
    await retry.click();
    await sealed.getByText('Queued').waitFor();
    await page.getByRole('button', { name: 'Stop reading sealed.pdf' }).click();
    await sealed.getByText('Cancelled').waitFor();
    assert.equal(mock.requests.filter((one) => one === 'POST /jobs/job-sealed/cancel').length, 1);
  }));

test('after a removal the next row has the focus', () =>
  withPage({}, async ({ page }) => {
    await page.getByRole('button', { name: 'Remove handover-note.md' }).click();
    const dialog = page.getByRole('dialog', { name: 'Remove “handover-note.md”?' });
    await dialog.waitFor();
    assert.deepEqual(await axe(page), []);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Remove handover-note.md' }).click();
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await row(page, 'handover-note.md').waitFor({ state: 'detached' });
    await announced(page)
      .getByText(/handover-note.md removed with 4 passages. Receipt \d+/)
      .waitFor();
    await page.waitForFunction(
      () => document.activeElement.getAttribute('aria-label') === 'Remove scans/inspection-record-2025-09.pdf',
    );
  }));

test('what happened while the stream was away is asked for again', () =>
  withPage({}, async ({ page, mock }) => {
    await picker(page).setInputFiles(FILES);
    await row(page, 'new.txt').getByText('Queued').waitFor();
    const streams = () => mock.requests.filter((one) => one === 'GET /jobs/events').length;
    const before = streams();
    mock.dropEvents();
    // Nobody listens now: the end of the job is told to no one.
    mock.move('new.txt', { state: 'ready', pages: 1 });
    await row(page, 'new.txt').getByText('Ready', { exact: true }).waitFor();
    assert.ok(streams() > before);
  }));

test('documents of another collection do not show', () =>
  withPage({}, async ({ page }) => {
    await row(page, 'handover-note.md').waitFor();
    await page.getByRole('link', { name: 'Empty matter' }).click();
    await page.getByText('Add documents to ask questions of them.').waitFor();
    assert.equal(await page.locator('.documents li').count(), 0);
    await picker(page).setInputFiles(FILES);
    await row(page, 'new.txt').getByText('Queued').waitFor();
    await page.getByText('The first document is being read.').waitFor();
  }));
