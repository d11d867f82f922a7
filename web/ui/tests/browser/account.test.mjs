// Set-up, signing in and out, people and rights, keys, status, audit log.

import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { CODE, PASSWORD } from '../mock/server.mjs';
import { axe, picture } from './browser.mjs';
import { closeBrowser, signIn, withPage } from './harness.mjs';

after(closeBrowser);

test('the first administrator is made with the one-time code', () =>
  withPage({ filled: false }, async ({ page }) => {
    await page.getByRole('heading', { name: 'Set up this appliance' }).waitFor();
    assert.deepEqual(await axe(page), []);
    await picture(page, 'setup');
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('autocomplete')), 'one-time-code');
    await page.keyboard.type('wrong');
    await page.keyboard.press('Tab');
    await page.keyboard.type('mara');
    await page.keyboard.press('Tab');
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('The one-time code is wrong or was used already.').waitFor();
    // What was wrong is not said of what is written next.
    await page.getByLabel('Password').fill('short');
    assert.equal(await page.getByRole('alert').count(), 0);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByLabel('One-time code').fill(` ${CODE} `);
    await page.getByRole('button', { name: 'Set up' }).click();
    await page.getByRole('heading', { name: 'Start with a collection' }).waitFor();
    assert.deepEqual(await axe(page), []);
    await page.getByLabel('Name of the new collection').fill('Matter 12');
    await page.getByRole('button', { name: 'Create' }).click();
    await page.getByText('Drop files or folders here').waitFor();
    assert.match(page.url(), /#\/collections\/c1$/);
    await picture(page, 'empty');
    assert.deepEqual(await axe(page), []);
  }));

test('a wrong password is said, a right one lets in, signing out forgets', () =>
  withPage({ user: null }, async ({ page }) => {
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.deepEqual(await axe(page), []);
    await page.getByLabel('Name').fill('mara');
    await page.getByLabel('Password').fill('not the one');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('Name or password is wrong.').waitFor();
    await signIn(page, 'mara');
    await page.getByText('lease-quayside-row.pdf').first().waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.equal(await page.getByText('lease-quayside-row.pdf').count(), 0);
  }));

test('a session that ends is said and asked for again', () =>
  withPage({}, async ({ page, mock }) => {
    await page.getByRole('button', { name: /Open lease/ }).waitFor();
    mock.signedIn.clear();
    await page.getByRole('link', { name: 'Empty matter' }).click();
    await page.getByText('Your session has ended.').waitFor();
  }));

test('a member sees neither people nor the audit log', () =>
  withPage({ user: 'jonas' }, async ({ page, mock }) => {
    const links = await page.getByRole('navigation', { name: 'Main' }).getByRole('link').allInnerTexts();
    assert.deepEqual(links, ['Documents', 'Status']);
    await page.goto(`${mock.origin}/#/people`);
    await page.getByText('Only administrators see this page.').waitFor();
    await page.goto(`${mock.origin}/#/audit`);
    await page.getByText('Only administrators and auditors see the audit log.').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Verify the log' }).count(), 0);
    assert.ok(!mock.requests.some((one) => one.startsWith('GET /audit')));
    assert.deepEqual(await axe(page), []);
  }));

test('a member whom nothing was granted is told so, and offered nothing that is refused', () =>
  withPage({ user: null }, async ({ page, mock }) => {
    mock.collections = [];
    await signIn(page, 'jonas');
    await page.getByRole('heading', { name: 'No collection yet' }).waitFor();
    await page.getByText('No collection has been granted to you yet.').waitFor();
    assert.equal(await page.getByRole('button', { name: 'New collection' }).count(), 0);
  }));

test('users are added, disabled, given passwords and rights', () =>
  withPage({}, async ({ page, mock }) => {
    await page.getByRole('link', { name: 'People' }).click();
    await page.locator('[data-user="jonas"]').waitFor();
    assert.deepEqual(await axe(page), []);
    await picture(page, 'people');
    await page.getByLabel('Name', { exact: true }).fill('lena');
    await page.getByLabel('Role').selectOption('auditor');
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.getByRole('button', { name: 'Add user' }).click();
    await page.getByText('lena added.').waitFor();
    await page.getByRole('button', { name: 'Set password of lena' }).click();
    await page.keyboard.type('another long one');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('New password set for lena.').waitFor();
    assert.equal(mock.users.find((user) => user.name === 'lena').password, 'another long one');
    await page.getByRole('combobox', { name: 'User' }).selectOption({ label: 'jonas' });
    await page.getByLabel('May').selectOption('write');
    await page.getByRole('button', { name: 'Grant' }).click();
    await page.locator('[data-grant="jonas"]').getByText('Read, ask and add').waitFor();
    await page.getByRole('button', { name: 'Revoke the right of jonas' }).click();
    await page.getByText('Nobody has been granted this collection.').waitFor();
    await page.getByRole('button', { name: 'Disable jonas' }).click();
    await page.getByRole('dialog', { name: 'Disable jonas?' }).getByRole('button', { name: 'Disable' }).click();
    await page.locator('[data-user="jonas"]').getByText('Disabled').waitFor();
  }));

test('one changes one’s own password, and a refusal is said beside the field', () =>
  withPage({}, async ({ page, mock }) => {
    await page.getByRole('link', { name: /Your account/ }).click();
    const field = page.getByLabel('New password');
    await page.route('**/api/v1/users/u1/password', (route) =>
      route.fulfill({ status: 422, body: JSON.stringify({ code: 'weak', detail: 'too common' }) }),
    );
    await field.fill('password1234');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('too common').waitFor();
    assert.equal(await field.inputValue(), 'password1234');
    assert.deepEqual(await axe(page), []);
    await page.unroute('**/api/v1/users/u1/password');
    await field.fill('a rather long one');
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByText('Password changed.').waitFor();
    assert.equal(await field.inputValue(), '');
    assert.equal(mock.users[0].password, 'a rather long one');
  }));

test('keys are shown once and revoked', () =>
  withPage({}, async ({ page }) => {
    await page.getByRole('link', { name: /Your account/ }).click();
    await page.getByLabel('What it is for').fill('nightly import');
    await page.getByRole('button', { name: 'Create key' }).click();
    await page.getByText('clo_0123456789').waitFor();
    assert.deepEqual(await axe(page), []);
    await page.getByRole('button', { name: 'Revoke the key nightly import' }).click();
    await page.getByText('There are no keys.').waitFor();
  }));

test('status says what leaves the machine, as the browser has counted it', () =>
  withPage({}, async ({ page, mock }) => {
    await page.getByRole('link', { name: 'Nothing leaves this machine' }).click();
    await page.getByRole('heading', { name: 'What leaves this machine: nothing' }).waitFor();
    await page.getByText('Ready to answer').waitFor();
    await page.getByText('all-minilm-l6-v2').first().waitFor();
    assert.deepEqual(await page.locator('.claim tbody tr td:first-child .mono').allInnerTexts(), [mock.origin]);
    assert.deepEqual(await axe(page), []);
    await picture(page, 'status');
    assert.equal((await page.request.get(`${mock.origin}/third-party.txt`)).ok(), true);
  }));

test('the audit log is listed, filtered, exported and verified', () =>
  withPage({}, async ({ page, mock }) => {
    await page.getByRole('link', { name: 'Audit log' }).click();
    const first = (seq) => page.locator(`tbody tr:first-child[data-seq="${seq}"]`).waitFor();
    await first(129);
    assert.deepEqual(await axe(page), []);
    await picture(page, 'audit');
    await page.getByRole('button', { name: 'Earlier records' }).click();
    await first(29);
    await page.getByRole('button', { name: 'Newest records' }).click();
    await first(129);
    await page.getByLabel('Action').fill('search');
    await page.getByRole('button', { name: 'Show' }).click();
    await page.locator('[data-seq="128"]').waitFor({ state: 'detached' });
    await first(129);
    await page.getByLabel('Up to record').fill('40');
    await page.keyboard.press('Enter');
    await first(39);
    await page.getByRole('button', { name: 'Clear' }).click();
    await first(129);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Export JSON Lines' }).click(),
    ]);
    assert.equal(download.suggestedFilename(), 'audit.jsonl');
    await page.getByLabel('From day').fill('2026-11-20');
    const address = await page.getByRole('link', { name: 'Export CSV' }).getAttribute('href');
    assert.match(address, /format=csv&from=20\d\d-11-\d\dT[\d%A.:]+Z$/);
    await page.getByLabel('To day').fill('2026-11-19');
    await page.getByText('“From day” is later than “To day”').waitFor();
    assert.equal(await page.getByRole('link', { name: /^Export/ }).count(), 0);
    await page.getByLabel('To day').fill('2026-11-20');
    await page.getByRole('link', { name: 'Export CSV' }).waitFor();
    assert.deepEqual(await page.locator('#audit-actions option').evaluateAll((all) => all.map((one) => one.value)), [
      'ask',
      'search',
    ]);
    await page.getByRole('button', { name: 'Verify the log' }).click();
    await page.locator('[data-verdict="good"]').getByText('The log is whole: 130 records checked.').waitFor();
    mock.bad = { seq: 17, why: 'its hash does not follow from the record before' };
    await page.getByRole('button', { name: 'Verify the log' }).click();
    await page.locator('[data-verdict="bad"]').getByText('record 17 is bad').waitFor();
    assert.deepEqual(await axe(page), []);
  }));
