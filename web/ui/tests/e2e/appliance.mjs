// The real appliance for tests: started on a folder of its own, stopped at the end, its words kept.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = resolve(dirname(fileURLToPath(import.meta.url)), '../../../..');
const BINARY = resolve(process.env.CLOISTER_BIN ?? join(REPOSITORY, 'target/release/cloister'));
export const MODELS = resolve(process.env.CLOISTER_TEST_MODELS ?? join(REPOSITORY, 'models'));
export const SAMPLES = join(REPOSITORY, 'samples');
export const DEFAULT_MODEL = 'qwen2.5-coder-1.5b-instruct-q4_k_m';
/** Used where nothing larger lies there; too small to be relied on for an answer. */
export const SMALL_MODEL = 'smollm2-135m-instruct-q4_1';

const READY_MS = 60_000;

export function hasModel(id) {
  return existsSync(join(MODELS, id));
}

/** What is missing for a run, in words, or null. */
export function missing() {
  if (!existsSync(BINARY)) return `there is no ${BINARY}: build it, or name it in CLOISTER_BIN`;
  if (!hasModel('all-minilm-l6-v2')) return `there is no all-minilm-l6-v2 in ${MODELS}`;
  return null;
}

function freePort() {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

export class Appliance {
  words = '';
  #child = null;

  static async start() {
    const appliance = new Appliance();
    appliance.data = mkdtempSync(join(tmpdir(), 'cloister-page-'));
    const address = `127.0.0.1:${await freePort()}`;
    appliance.origin = `http://${address}`;
    const options = ['--data', appliance.data, '--models', MODELS, 'serve', '--listen', address];
    if (!hasModel(DEFAULT_MODEL)) options.push('--model', SMALL_MODEL);
    const child = spawn(BINARY, options, { stdio: ['ignore', 'pipe', 'pipe'] });
    appliance.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        appliance.words += text;
      });
    }
    await appliance.#alive();
    return appliance;
  }

  async #alive() {
    const end = Date.now() + READY_MS;
    while (Date.now() < end) {
      if (this.#child.exitCode !== null) break;
      const alive = await fetch(`${this.origin}/healthz`).then(
        (answer) => answer.ok,
        () => false,
      );
      if (alive) return;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error(`the appliance did not start:\n${this.words}`);
  }

  /** The one-time code, as it is printed on the console. */
  code() {
    const found = /\b[2-9a-z]{5}(?:-[2-9a-z]{5}){3}\b/.exec(this.words.replaceAll(this.origin, ''));
    if (!found) throw new Error(`no set-up code was printed:\n${this.words}`);
    return found[0];
  }

  /** Runs a command of the same binary on the same folder. */
  run(...words) {
    return spawnSync(BINARY, ['--data', this.data, '--models', MODELS, ...words], { encoding: 'utf8' });
  }

  async stop() {
    const child = this.#child;
    if (child && child.exitCode === null) {
      const gone = new Promise((done) => child.once('exit', done));
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(hard);
    }
    rmSync(this.data, { recursive: true, force: true });
  }
}
