// A test server, a browser and a signed-in page for each test.

import { Mock, PASSWORD } from '../mock/server.mjs';
import { launch, open } from './browser.mjs';

let shared = null;

/** One browser for a file of tests. */
export async function browser() {
  shared ??= await launch();
  return shared;
}

export async function closeBrowser() {
  await shared?.close();
  shared = null;
}

/** Runs `body` with a page; afterwards nothing must have been refused, thrown or asked of another address. */
export async function withPage({ filled = true, user = 'mara', ...options }, body) {
  const mock = await Mock.start({ filled });
  const opened = await open(await browser(), mock.origin, options);
  try {
    await opened.page.goto(mock.origin);
    if (filled && user) await signIn(opened.page, user);
    await body({ mock, ...opened });
    await opened.check();
  } finally {
    await opened.context.close();
    await mock.stop();
  }
}

export async function signIn(page, user) {
  await page.getByLabel('Name').fill(user);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Main' }).waitFor();
}

/** Asks and waits for the answer to stand. */
export async function ask(page, question) {
  await page.getByLabel('Question', { exact: true }).fill(question);
  await page.getByRole('button', { name: 'Ask', exact: true }).click();
}

export function row(page, name) {
  return page.locator(`.documents li[data-name="${name}"]`);
}

/** What the polite live region says now. */
export function announced(page) {
  return page.locator('[aria-live="polite"]').first();
}
