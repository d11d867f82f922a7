// A server that speaks docs/plan/http.md from memory, for tests of the page in a browser. Tests hold it in their own
// process: they move jobs on, let answers go on, drop connections, and look at what was asked.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { documents, KEY, passage, quote, RENT, TERM } from './library.mjs';

const DIST = join(dirname(fileURLToPath(import.meta.url)), '../../dist');
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.ttf': 'font/ttf',
};
/** The policy of the server, and beside it what it does not ask for yet: no address of a script made from text. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
  "worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " +
  "require-trusted-types-for 'script'; trusted-types svelte-trusted-html cloister-worker";

export const CODE = 'ABCD-EFGH';
export const PASSWORD = 'correct horse battery';

class Refusal extends Error {
  constructor(status, code, detail = code) {
    super(detail);
    Object.assign(this, { status, code });
  }
}

export class Mock {
  users = [];
  collections = [];
  grants = [];
  keys = [];
  held = [];
  jobs = new Map();
  listeners = new Set();
  records = [];
  answers = new Map();
  requests = [];
  signedIn = new Map();
  /** Questions wait here between their steps: a test calls `go()` for each. */
  steps = [];
  stepping = false;
  cancelled = 0;
  refuseUploads = null;
  /** While set, uploads are neither taken nor refused. */
  holdUploads = null;
  level = 'manage';
  boxes = [];
  bad = null;

  static async start({ filled = true } = {}) {
    const mock = new Mock();
    if (filled) mock.fill();
    mock.server = createServer((request, response) => mock.#serve(request, response));
    await new Promise((done) => mock.server.listen(0, '127.0.0.1', done));
    mock.origin = `http://127.0.0.1:${mock.server.address().port}`;
    return mock;
  }

  fill() {
    this.#user('mara', 'administrator');
    this.#user('jonas', 'member');
    this.collections = [
      { id: 'c1', name: 'Quayside Clinic' },
      { id: 'c2', name: 'Empty matter' },
    ];
    this.held = documents();
    for (let at = 0; at < 130; at += 1)
      this.#record('mara', at % 3 === 0 ? 'search' : 'ask', `collection ${at}`, { at });
  }

  async stop() {
    this.dropEvents();
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  #user(name, role) {
    const user = {
      id: `u${this.users.length + 1}`,
      name,
      role,
      disabled: false,
      created: '2026-11-19T08:00:00Z',
      password: PASSWORD,
    };
    this.users.push(user);
    return user;
  }

  #record(actor, action, object, detail = {}) {
    const seq = this.records.length;
    const hash = createHash('sha256').update(`${seq}${object}`).digest('hex');
    this.records.push({
      seq,
      time: new Date(Date.UTC(2026, 10, 20, 9, 0, seq)).toISOString(),
      actor,
      action,
      object,
      outcome: 'done',
      detail,
      hash,
    });
    return seq;
  }

  // -- what tests do

  document(name) {
    return this.held.find((one) => one.info.name === name);
  }

  /** Puts another version in the place of the one that is there. */
  replace(name, pages) {
    const held = this.document(name);
    held.old = [...(held.old ?? []), { info: { ...held.info }, pages: held.pages, bytes: held.bytes }];
    const version = held.info.version + 1;
    held.pages = pages;
    Object.assign(held.info, { version, added: `2026-11-2${version}T09:00:00Z`, pages: pages.length });
  }

  /** Moves the job of a document on and tells everyone who listens. */
  move(name, change) {
    const held = this.document(name);
    const job = this.jobs.get(held.info.id);
    Object.assign(job, change);
    if (job.state === 'ready' || job.state === 'partial') {
      this.#commit(held);
      Object.assign(held.info, { status: job.state, passages: 3, pages: job.pages ?? 1, gaps: job.gaps, job: null });
    } else if (job.state === 'failed' || job.state === 'cancelled') {
      Object.assign(held.info, {
        status: 'failed',
        error: job.error ?? { code: 'cancelled', message: 'stopped' },
        job: null,
      });
    } else {
      held.info.status = job.state === 'embedding' ? 'indexing' : job.state;
    }
    for (const listener of this.listeners) send(listener, 'job', job);
  }

  #commit(held) {
    if (!held.pending) return;
    this.replace(held.info.name, held.pages);
    held.bytes = held.pending;
    delete held.pending;
  }

  dropEvents() {
    for (const listener of this.listeners) listener.destroy();
    this.listeners.clear();
  }

  /** Lets a waiting question take its next step. */
  async go() {
    while (this.steps.length === 0) await new Promise((done) => setImmediate(done));
    this.steps.shift()();
  }

  async #step() {
    if (this.stepping) await new Promise((done) => this.steps.push(done));
  }

  // -- serving

  async #serve(request, response) {
    const url = new URL(request.url, this.origin);
    response.setHeader('content-security-policy', POLICY);
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('cache-control', 'no-store');
    try {
      if (url.pathname === '/readyz') return json(response, 200, this.#readiness());
      if (!url.pathname.startsWith('/api/v1')) return await page(url, response);
      const path = url.pathname.slice('/api/v1'.length);
      this.requests.push(`${request.method} ${path}${url.search}`);
      const body = await read(request);
      await this.#route(request, response, path, url.searchParams, body);
    } catch (error) {
      if (response.headersSent) return response.destroy();
      const { status = 500, code = 'internal', message } = error;
      response.setHeader('content-type', 'application/problem+json');
      response
        .writeHead(status)
        .end(JSON.stringify({ type: 'about:blank', title: code, status, detail: message, code }));
    }
  }

  async #route(request, response, path, query, body) {
    const parts = path.split('/').slice(1).map(decodeURIComponent);
    const key = `${request.method} /${parts.map((part, at) => (at % 2 === 1 && parts[0] !== 'audit' && part !== 'events' ? '*' : part)).join('/')}`;
    if (key === 'GET /setup') return json(response, 200, { needed: this.users.length === 0 });
    if (key === 'POST /setup') return this.#setup(response, JSON.parse(body));
    if (key === 'POST /login') return this.#login(response, JSON.parse(body));
    const user = this.signedIn.get(/cloister_session=(\w+)/.exec(request.headers.cookie ?? '')?.[1]);
    if (!user || user.disabled) throw new Refusal(401, 'unauthenticated');
    if (request.method !== 'GET' && request.headers['x-cloister-csrf'] !== `csrf-${user.id}`)
      throw new Refusal(403, 'csrf');
    const action = this.#actions(user, request, response, parts, query, body)[key];
    if (!action) throw new Refusal(404, 'not_found', `nothing at ${key}`);
    const found = await action();
    if (!response.headersSent) {
      if (found === undefined) response.writeHead(204).end();
      else json(response, 200, found);
    }
  }

  #actions(user, request, response, parts, query, body) {
    const data = () => JSON.parse(body);
    const [, id, , sub] = parts;
    return {
      'GET /session': () => session(user),
      'POST /logout': () => void this.signedIn.clear(),
      'GET /users': () => ({ users: this.users.map(({ password: _, ...one }) => one) }),
      'POST /users': () => ({ id: this.#user(data().name, data().role).id }),
      'POST /users/*/disable': () => this.#change(id, { disabled: true }),
      'POST /users/*/password': () => this.#change(id, { password: data().password }),
      'GET /keys': () => ({ keys: this.keys }),
      'POST /keys': () => this.#key(data().label),
      'DELETE /keys/*': () => this.#revokeKey(id),
      'GET /collections': () => ({ collections: this.collections.map((one) => this.#summary(one)) }),
      'DELETE /collections/*': () => this.#removeCollection(id),
      'POST /collections': () => this.#summary(this.#collection(data().name)),
      'GET /collections/*/grants': () => ({ grants: this.grants.filter((one) => one.collection === id) }),
      'POST /collections/*/grants': () => this.#grant(id, data()),
      'DELETE /collections/*/grants': () => this.#revoke(id, data().user),
      'GET /collections/*/documents': () => this.#list(id, query),
      'POST /collections/*/documents': async () => {
        await this.holdUploads;
        json(response, 202, { uploads: [this.#upload(id, request, body)] });
      },
      'GET /documents/*': () => ({
        ...this.#held(id).info,
        ledger: this.#held(id).ledger ?? [],
        versions: versionsOf(this.#held(id)),
        names: [this.#held(id).info.name],
      }),
      'DELETE /documents/*': () => this.#remove(user, id),
      'GET /documents/*/pages/*': () => this.#version(id, query).pages[Number(sub) - 1] ?? fail(404, 'not_found'),
      'GET /documents/*/boxes': () => this.#version(id, query) && { boxes: this.boxes },
      'GET /documents/*/original': () => original(request, response, this.#version(id, query)),
      'POST /documents/*/retry': () => json(response, 202, { job: this.#job(this.#held(id)).id }),
      'POST /jobs/*/cancel': () =>
        this.move(this.held.find((one) => `job-${one.info.id}` === id).info.name, { state: 'cancelled' }),
      'GET /jobs': () => ({ jobs: [...this.jobs.values()] }),
      'GET /jobs/events': () => this.#listen(response),
      'POST /search': () => this.#search(data()),
      'POST /ask': () => this.#ask(response, data()),
      'GET /answers/*': () => this.answers.get(Number(id)) ?? fail(404, 'not_found'),
      'GET /audit': () => this.#audit(query),
      'GET /audit/export': () => exported(response, this.records, query.get('format')),
      'POST /audit/verify': () => this.#verdict(),
      'GET /models': () => ({ models: MODELS }),
      'GET /status': () => this.#status(),
    };
  }

  #change(id, change) {
    Object.assign(
      this.users.find((one) => one.id === id),
      change,
    );
  }

  #revokeKey(id) {
    this.keys = this.keys.filter((one) => one.id !== id);
  }

  #revoke(collection, user) {
    this.grants = this.grants.filter((one) => one.collection !== collection || one.user !== user);
  }

  #setup(response, { code, name }) {
    if (code !== CODE) throw new Refusal(401, 'unauthenticated', 'the set-up code is wrong or was used');
    enter(this, response, this.#user(name, 'administrator'));
  }

  #login(response, { name, password }) {
    const user = this.users.find((one) => one.name === name && one.password === password && !one.disabled);
    if (!user) throw new Refusal(401, 'bad_credentials');
    enter(this, response, user);
  }

  #key(label) {
    const id = `k${this.keys.length + 1}`;
    this.keys.push({ id, label, created: '2026-11-20T10:00:00Z', last_used: null });
    return { id, key: 'clo_0123456789' };
  }

  #collection(name) {
    const made = { id: `c${this.collections.length + 1}`, name };
    this.collections.push(made);
    return made;
  }

  #removeCollection(id) {
    this.collections = this.collections.filter((one) => one.id !== id);
    this.held = this.held.filter((one) => one.info.collection !== id);
  }

  #summary({ id, name }) {
    const all = this.held.filter((one) => one.info.collection === id).map((one) => one.info);
    const sum = (pick) => all.reduce((total, one) => total + pick(one), 0);
    return {
      id,
      name,
      documents: all.length,
      pages: sum((one) => one.pages),
      unread: sum((one) => one.gaps.length),
      level: this.level,
    };
  }

  #grant(collection, { user, level }) {
    const { name } = this.users.find((one) => one.id === user);
    this.grants = this.grants.filter((one) => one.user !== user || one.collection !== collection);
    this.grants.push({ collection, user, name, level });
  }

  #held(id) {
    return this.held.find((one) => one.info.id === id) ?? fail(404, 'not_found');
  }

  #list(collection, query) {
    const all = this.held.filter((one) => one.info.collection === collection).map((one) => one.info);
    const from = Number(query.get('after') ?? 0);
    const to = from + Number(query.get('limit') ?? 100);
    return { documents: all.slice(from, to), next: to < all.length ? String(to) : null };
  }

  #upload(collection, request, body) {
    if (this.refuseUploads) throw this.refuseUploads;
    const { name, bytes, keep } = multipart(request, body);
    const same = this.held.find((one) => one.info.collection === collection && one.bytes.equals(bytes));
    const common = { name, job: null, duplicate_of: null, error: null };
    if (same && same.info.name === name) return { ...common, status: 'unchanged', document: same.info.id };
    if (same && !keep) return { ...common, status: 'duplicate', document: same.info.id, duplicate_of: same.info.name };
    const there = this.held.find((one) => one.info.collection === collection && one.info.name === name);
    if (there && !keep) {
      there.pending = bytes;
      return { ...common, status: 'updated', document: there.info.id, job: this.#job(there, there.info.status).id };
    }
    const info = {
      id: `n${this.held.length}`,
      name,
      collection,
      status: 'queued',
      bytes: bytes.length,
      pages: 0,
      passages: 0,
      format: extname(name).slice(1),
      title: null,
      version: 1,
      added: '2026-11-20T11:00:00Z',
      gaps: [],
      error: null,
      job: null,
    };
    const held = { info, pages: [], bytes };
    this.held.push(held);
    return { ...common, status: 'queued', document: info.id, job: this.#job(held).id };
  }

  #job(held, status = 'queued') {
    const { id, name, collection } = held.info;
    const job = {
      id: `job-${id}`,
      document: id,
      name,
      collection,
      state: 'queued',
      page: 0,
      pages: null,
      seconds: 0,
      seconds_left: null,
      error: null,
      gaps: [],
    };
    this.jobs.set(id, job);
    Object.assign(held.info, { status, error: null, job: job.id });
    for (const listener of this.listeners) send(listener, 'job', job);
    return job;
  }

  #remove(user, id) {
    const { info } = this.#held(id);
    this.held = this.held.filter((one) => one.info.id !== id);
    return {
      removed: { name: info.name, passages: info.passages, bytes: info.bytes },
      audit: this.#record(user.name, 'remove', info.name),
    };
  }

  #version(id, query) {
    const held = this.#held(id);
    const version = Number(query.get('version') ?? held.info.version);
    if (version === held.info.version) return held;
    return held.old?.find((one) => one.info.version === version) ?? fail(404, 'not_found');
  }

  #listen(response) {
    open(response);
    response.write(': keep-alive\n\n');
    for (const job of this.jobs.values())
      if (['queued', 'reading', 'embedding', 'indexing'].includes(job.state)) send(response, 'job', job);
    this.listeners.add(response);
    response.on('close', () => this.listeners.delete(response));
  }

  #evidence() {
    const [lease, note] = [this.document('lease-quayside-row.pdf'), this.document('handover-note.md')];
    return [
      passage(lease, 1, 1, `The term begins on 1 April 2023 and ${TERM}`, ['Lease of 14 Quayside Row', '2. Term']),
      passage(lease, 2, 2, `The ${RENT} in twelve equal parts.`, ['Lease of 14 Quayside Row', '4. Rent']),
      passage(note, 3, 1, `The key of the archive is ${KEY}.`, ['# Handover note']),
      passage(lease, 4, 3, 'Notices are given in writing by registered letter.'),
      passage(lease, 5, 1, 'Clause 2.2 has words of its own.'),
      passage(lease, 6, 1, 'Clause 2.3 has words of its own.'),
    ];
  }

  #coverage(body) {
    const unread = [
      { document: 'record', name: 'scans/inspection-record-2025-09.pdf', page: 4, reason: 'a picture without text' },
      { document: 'sealed', name: 'sealed.pdf', page: 0, reason: 'it needs a password' },
    ];
    return { documents: body.documents?.length ?? 4, pages: 10, unread };
  }

  #search(body) {
    const passages = body.query.includes('nothing') ? [] : this.#evidence();
    return { passages, milliseconds: 41, coverage: this.#coverage(body) };
  }

  async #ask(response, body) {
    let left = false;
    response.on('close', () => {
      if (!response.writableFinished) {
        left = true;
        this.cancelled += 1;
      }
    });
    this.asked = body;
    if (body.question.includes('refuse')) throw new Refusal(503, 'no_model', 'the model is not on this machine');
    const answer = this.#answer(body);
    open(response);
    send(response, 'retrieved', { passages: answer.passages, coverage: answer.coverage });
    await this.#step();
    send(response, 'reading', { done: 2, total: 6 });
    for (const token of answer.answer.match(/\S+\s*/g) ?? []) {
      if (left) return;
      await this.#step();
      send(response, 'token', { text: token });
    }
    for (const citation of answer.citations) send(response, 'citation', citation);
    await this.#step();
    if (body.question.includes('break')) return response.destroy();
    if (body.question.includes('fail'))
      send(response, 'error', { code: 'internal', detail: 'the model stopped', status: 500 });
    else send(response, 'done', answer);
    response.end();
  }

  #answer(body) {
    const [lease, note] = [this.document('lease-quayside-row.pdf'), this.document('handover-note.md')];
    const state = /parking/.test(body.question)
      ? 'related'
      : /unicorn/.test(body.question)
        ? 'nothing'
        : /scan/.test(body.question)
          ? 'unread'
          : 'answered';
    const answered = state === 'answered';
    const answer = {
      answer: answered
        ? 'The lease ends on 31 March 2033 [1], and the rent is EUR 84,000 a year [2].\n\n- The key is kept by Jonas [3].'
        : '',
      state,
      abstained: !answered,
      citations: answered ? [quote(lease, 1, 1, TERM), quote(lease, 2, 2, RENT), quote(note, 3, 1, KEY)] : [],
      withheld: answered ? 1 : 0,
      passages: state === 'nothing' ? [] : this.#evidence(),
      coverage: state === 'nothing' ? { documents: 4, pages: 10, unread: [] } : this.#coverage(body),
      timings: {
        retrieve_ms: 120,
        first_token_ms: 900,
        total_ms: 4200,
        prompt_tokens: 1750,
        cached_tokens: 0,
        new_tokens: 40,
      },
      model: answered
        ? { name: 'qwen2.5-coder-1.5b-instruct-q4_k_m', sha256: 'ab'.repeat(32) }
        : { name: '', sha256: '' },
      question: body.question,
    };
    answer.audit = this.#record('mara', 'ask', body.question, { state });
    this.answers.set(answer.audit, answer);
    return answer;
  }

  #audit(query) {
    const after = Number(query.get('after') ?? Number.MAX_SAFE_INTEGER);
    const limit = Number(query.get('limit') ?? 100);
    const [actor, action] = [query.get('actor'), query.get('action')];
    const all = this.records
      .toReversed()
      .filter((one) => one.seq < after && (!actor || one.actor === actor) && (!action || one.action === action));
    const records = all.slice(0, limit);
    return { records, next: all.length > limit ? records.at(-1).seq : null, head: this.records.at(-1)?.hash ?? '' };
  }

  #verdict() {
    const last = this.records.length - 1;
    const common = { records: last + 1, first: 0, last, head: this.records.at(-1).hash, signed_by: 'ed25519:7f3a' };
    return this.bad ? { ok: false, ...common, bad: this.bad } : { ok: true, ...common, bad: null };
  }

  #readiness() {
    return {
      ready: true,
      checks: [
        { name: 'store', ok: true, detail: 'three stores agree' },
        { name: 'audit', ok: true, detail: 'chain is whole' },
      ],
    };
  }

  #status() {
    return {
      version: '0.1.0',
      generator: { id: MODELS[0].id, state: 'ready', detail: null },
      embedder: { id: MODELS[1].id, state: 'loading', detail: 'reading the file' },
      documents: this.held.length,
      passages: 21,
      edition: 7,
      disk_free_bytes: 53e9,
      collections: this.collections.length,
      examples: [
        { collection: 'Quayside Clinic', question: 'When does the lease of 14 Quayside Row end?' },
        { collection: 'Quayside Clinic', question: 'How many parking spaces does the clinic have?' },
      ],
    };
  }
}

const MODELS = [
  {
    id: 'qwen2.5-coder-1.5b-instruct-q4_k_m',
    role: 'generate',
    architecture: 'qwen2',
    quantisation: 'Q4_K_M',
    licence: 'Apache-2.0',
    context: 32768,
    bytes: 1_117_320_768,
    present: true,
    active: true,
    memory_bytes: 1_600_000_000,
    fits: true,
  },
  {
    id: 'all-minilm-l6-v2',
    role: 'embed',
    architecture: 'bert',
    quantisation: 'F32',
    licence: 'Apache-2.0',
    context: 256,
    bytes: 90_900_000,
    present: true,
    active: true,
    memory_bytes: 130_000_000,
    fits: true,
  },
];

function versionsOf({ info, old = [], pending }) {
  const coming = pending ? [{ ...info, version: info.version + 1, added: null }] : [];
  return [...old.map((one) => one.info), info, ...coming].map(({ version, added, format, pages }) => ({
    version,
    sha256: 'cd'.repeat(32),
    added,
    since: added,
    format,
    pages,
  }));
}

function fail(status, code) {
  throw new Refusal(status, code);
}

function session({ id, name, role }) {
  return { user: { id, name, role }, csrf: `csrf-${id}` };
}

function enter(mock, response, user) {
  const token = `t${mock.signedIn.size}${user.id}`;
  mock.signedIn.set(token, user);
  response.setHeader('set-cookie', `cloister_session=${token}; HttpOnly; SameSite=Strict; Path=/`);
  json(response, 200, session(user));
}

function json(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function open(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
}

function send(response, event, data) {
  response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

async function read(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function multipart(request, body) {
  const boundary = `--${/boundary=(.+)$/.exec(request.headers['content-type'])[1]}`;
  const values = {};
  for (const part of body.toString('latin1').split(boundary)) {
    const cut = part.indexOf('\r\n\r\n');
    const field = /name="(\w+)"/.exec(part.slice(0, cut))?.[1];
    if (field) values[field] = Buffer.from(part.slice(cut + 4, -2), 'latin1');
  }
  return { name: values.name.toString(), bytes: values.file, keep: values.keep_duplicates !== undefined };
}

function original(request, response, { info, bytes }) {
  const type = info.format === 'pdf' ? 'application/pdf' : 'application/octet-stream';
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const from = range ? Number(range[1]) : 0;
  const to = range?.[2] ? Math.min(Number(range[2]), bytes.length - 1) : bytes.length - 1;
  const headers = { 'content-type': type, 'accept-ranges': 'bytes', 'content-length': to - from + 1 };
  if (range) headers['content-range'] = `bytes ${from}-${to}/${bytes.length}`;
  response.writeHead(range ? 206 : 200, headers).end(bytes.subarray(from, to + 1));
}

function exported(response, records, format) {
  response.writeHead(200, {
    'content-type': 'application/jsonl',
    'content-disposition': `attachment; filename="audit.${format}"`,
  });
  response.end(records.map((one) => JSON.stringify(one)).join('\n'));
}

async function page(url, response) {
  const path = normalize(url.pathname === '/' ? '/index.html' : url.pathname);
  try {
    const bytes = await readFile(join(DIST, path));
    response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
}
