// The whole way with the real appliance and real models: set-up code, sign in, drop three files, watch them become
// ready, ask, open a citation, look where its highlight lies, export the audit log, verify it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import test, { after } from 'node:test';
import { axe, faultsOfHighlight, launch, open, overlap, picture } from '../browser/browser.mjs';
import { Appliance, DEFAULT_MODEL, hasModel, missing, SAMPLES } from './appliance.mjs';

const NAME = 'mara';
const PASSWORD = 'a password of some length';
const COLLECTION = 'Samples';
const FILES = ['lease-quayside-row.pdf', 'records-retention-policy.pdf', 'maintenance-agreement-sterilisers.docx'];
const READ_MS = 120_000;
const ANSWER_MS = 300_000;

const { questions } = JSON.parse(readFileSync(join(SAMPLES, 'questions.json'), 'utf8'));
const why = missing();
let appliance = null;
let browser = null;

after(async () => {
  await browser?.close();
  await appliance?.stop();
});

let broken = false;

/** A step of the way. After one that failed the rest are not walked: they could only wait. */
function step(t, name, body) {
  return t.test(name, { skip: broken }, async (context) => {
    try {
      await body(context);
    } catch (error) {
      broken = true;
      throw error;
    }
  });
}

async function setUp(page) {
  await page.goto(appliance.origin);
  await page.getByRole('heading', { name: 'Set up this appliance' }).waitFor();
  await picture(page, '1-set-up');
  await page.getByLabel('One-time code').fill(appliance.code());
  await page.getByLabel('Name').fill(NAME);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Set up' }).click();
  await page.getByRole('heading', { name: 'Start with a collection' }).waitFor();
}

async function signInAgain(page) {
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.getByLabel('Name').fill(NAME);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Main' }).waitFor();
}

/** Files as a drop hands them over: the page sees what it would see of a real one. */
async function drop(page, paths) {
  const files = paths.map((path) => ({ name: basename(path), bytes: readFileSync(path).toString('base64') }));
  await page.evaluate((dropped) => {
    const transfer = new DataTransfer();
    for (const { name, bytes } of dropped) {
      transfer.items.add(new File([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))], name));
    }
    const zone = document.querySelector('.zone');
    for (const type of ['dragenter', 'dragover', 'drop']) {
      zone.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer }));
    }
  }, files);
}

async function ask(page, question) {
  await page.getByLabel('Question', { exact: true }).fill(question);
  await page.getByRole('button', { name: 'Ask', exact: true }).click();
  await page.waitForFunction(
    (wanted) =>
      document.querySelector('#result-title')?.textContent === wanted &&
      ['done', 'failed'].includes(document.querySelector('section.result').dataset.phase),
    question,
    { timeout: ANSWER_MS },
  );
  const view = page.locator('section.view');
  assert.equal(await view.count(), 1, await page.locator('section.result').textContent());
  return view.getAttribute('data-state');
}

/** Citations of the answer on the page that lie in a PDF: number, page, quote. */
function citationsInPdfs(page) {
  return page.locator('section.view .sources li').evaluateAll((items) =>
    items
      .map((item) => ({
        marker: item.querySelector('.marker').textContent.trim(),
        where: item.querySelector('.where .link').textContent.trim(),
        quote: item.querySelector('blockquote').textContent,
      }))
      .filter(({ where }) => /\.pdf, page \d+/.test(where))
      .map((one) => ({ ...one, page: Number(/page (\d+)/.exec(one.where)[1]) })),
  );
}

const drawn = (page, number) =>
  page.locator(`[data-page="${number}"][data-drawn="true"]`).waitFor({ timeout: READ_MS });

test('the whole way', { skip: process.env.CLOISTER_BIN ? false : (why ?? false), timeout: 1_200_000 }, async (t) => {
  assert.equal(why, null);
  appliance = await Appliance.start();
  browser = await launch();
  const asked = new Map();
  const { page, check } = await open(browser, appliance.origin);

  await step(t, 'set-up code, then signing in', async () => {
    await setUp(page);
    await signInAgain(page);
    await page.getByRole('heading', { name: 'Start with a collection' }).waitFor();
  });

  await step(t, 'three files are dropped and become ready', async () => {
    await page.getByLabel('Name of the new collection').fill(COLLECTION);
    await page.getByRole('button', { name: 'Create' }).click();
    await page.getByText('Drop files or folders here').waitFor();
    await drop(
      page,
      FILES.map((name) => join(SAMPLES, 'documents', name)),
    );
    for (const name of FILES) {
      await page.locator(`.documents li[data-name="${name}"][data-state="ready"]`).waitFor({ timeout: READ_MS });
    }
    assert.deepEqual(await axe(page), []);
    await picture(page, '2-ready');
  });

  await step(t, 'the same file again is said to be there', async () => {
    await drop(page, [join(SAMPLES, 'documents', FILES[0])]);
    await page.getByText('Already here, unchanged', { exact: true }).waitFor();
    await page.getByRole('button', { name: `Dismiss the note on ${FILES[0]}` }).click();
  });

  await step(t, 'evidence opens with its passage highlighted', async () => {
    asked.set(questions[0].question, await ask(page, questions[0].question));
    await picture(page, '3-answer');
    assert.deepEqual(await axe(page), []);
    const all = page.getByRole('button', { name: /^Show all/ });
    if (await all.count()) await all.click();
    const words = new RegExp(questions[0].phrase.replaceAll(' ', '\\s+'));
    const passage = page
      .locator('section.result ol button')
      .filter({ hasText: questions[0].document })
      .filter({ hasText: words })
      .first();
    const number = Number(/page (\d+)/.exec(await passage.textContent())[1]);
    await passage.click();
    await drawn(page, number);
    const place = await overlap(page, number, questions[0].phrase);
    // A passage has more words than the phrase: what is asked here is that the phrase lies within its boxes.
    assert.deepEqual(
      faultsOfHighlight(place).filter((fault) => /outside|no highlight|not in the text/.test(fault)),
      [],
    );
    await page.keyboard.press('Escape');
  });

  await step(t, 'a citation opens with its quote highlighted', async (context) => {
    let seen = 0;
    for (const { question, document } of questions.filter((one) => FILES.includes(one.document))) {
      // The first question stands on the page already.
      const state = asked.get(question) ?? (await ask(page, question));
      if (state !== 'answered') {
        context.diagnostic(`${question} -> ${state}`);
        continue;
      }
      for (const { marker, page: number, quote, where } of await citationsInPdfs(page)) {
        await page.locator(`.answer a[data-marker="${marker}"]`).first().click();
        await drawn(page, number);
        assert.deepEqual(faultsOfHighlight(await overlap(page, number, quote)), [], `${where}: ${quote}`);
        if (where.startsWith(document)) await picture(page, `4-citation-${seen}`);
        seen += 1;
      }
      if (await page.locator('aside[data-showing]').count()) await page.keyboard.press('Escape');
    }
    context.diagnostic(`${seen} citations looked at`);
    if (hasModel(DEFAULT_MODEL)) assert.ok(seen > 0, 'no question was answered with a citation in a PDF');
  });

  await step(t, 'the answer stands at its permanent address', async () => {
    const receipt = page.getByRole('link', { name: /^Receipt \d+$/ }).first();
    await receipt.click();
    await page.getByText('This is the answer as it was given.').waitFor();
    await page.locator('section.view').waitFor();
    await picture(page, '5-receipt');
  });

  await step(t, 'status and people are there', async () => {
    await page.getByRole('link', { name: 'Status', exact: true }).click();
    await page.getByText('all-minilm-l6-v2').first().waitFor();
    await picture(page, '6-status');
    assert.deepEqual(await axe(page), []);
    await page.getByRole('link', { name: 'People' }).click();
    await page.locator(`[data-user="${NAME}"]`).waitFor();
    assert.deepEqual(await axe(page), []);
  });

  await step(t, 'the audit log is verified on the page, exported, and verified by the binary', async () => {
    await page.getByRole('link', { name: 'Audit log' }).click();
    await page.locator('tbody tr[data-seq]').first().waitFor();
    await page.getByRole('button', { name: 'Verify the log' }).click();
    await page.locator('[data-verdict="good"]').waitFor();
    await picture(page, '7-audit');
    assert.deepEqual(await axe(page), []);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Export JSON Lines' }).click(),
    ]);
    const path = join(appliance.data, 'exported.jsonl');
    await download.saveAs(path);
    const actions = readFileSync(path, 'utf8');
    for (const word of [NAME, FILES[0], questions[0].question])
      assert.ok(actions.includes(word), `${word} is not in the export`);
    const verified = appliance.run('--json', 'audit', 'verify', path);
    assert.equal(verified.status, 0, verified.stderr);
    assert.ok(JSON.parse(verified.stdout).records > 5);
  });

  await check();
});
