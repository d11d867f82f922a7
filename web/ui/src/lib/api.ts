// Calls of the server. Nothing else in the page makes a request, except pdf.js for the bytes of a document.

import { readEvents, type ServerEvent } from './sse.ts';
import type {
  Answer,
  AuditPage,
  AuditVerdict,
  Box,
  Collection,
  Document,
  DocumentDetail,
  Grant,
  Job,
  KeyRow,
  Level,
  Model,
  PageView,
  Readiness,
  Role,
  SearchResult,
  Session,
  Status,
  UserRow,
} from './wire.ts';

const BASE = '/api/v1';

/** A refusal, as RFC 9457 writes it, or `unreachable` when the server did not answer. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, detail: string) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

let csrf = '';
let onSignedOut: () => void = () => {};

/** Keeps the value that unsafe requests carry. */
export function holdCsrf(value: string): void {
  csrf = value;
}

export function csrfHeader(): Record<string, string> {
  return csrf === '' ? {} : { 'x-cloister-csrf': csrf };
}

/** Called when the server says that the session has ended. */
export function whenSignedOut(action: () => void): void {
  onSignedOut = action;
}

export function address(path: string): string {
  return BASE + path;
}

export function problemOf(status: number, text: string): Problem {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null && 'code' in body && typeof body.code === 'string') {
      const detail = 'detail' in body && typeof body.detail === 'string' ? body.detail : '';
      const title = 'title' in body && typeof body.title === 'string' ? body.title : '';
      return new Problem(status, body.code, detail || title || body.code);
    }
  } catch {
    // Not JSON: something else than our server answered.
  }
  return new Problem(status, `http_${status}`, `The server answered with status ${status}.`);
}

interface Call {
  body?: unknown;
  signal?: AbortSignal;
  /** Requests that ask whether one is signed in are not told that one is not. */
  quiet?: boolean;
}

async function call(method: string, path: string, { body, signal, quiet }: Call = {}): Promise<Response> {
  const init: RequestInit = { method, credentials: 'same-origin', headers: { ...csrfHeader() }, cache: 'no-store' };
  if (signal) init.signal = signal;
  if (body !== undefined) {
    init.headers = { ...init.headers, 'content-type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await fetch(path.startsWith('/readyz') ? path : address(path), init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, 'unreachable', 'The appliance does not answer. Is it running?');
  }
  if (response.status === 401 && !quiet) onSignedOut();
  return response;
}

async function json<T>(method: string, path: string, options: Call = {}): Promise<T> {
  const response = await call(method, path, options);
  const text = await response.text();
  if (!response.ok) throw problemOf(response.status, text);
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

function query(values: Record<string, string | number | null | undefined>): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== '') parts.set(name, String(value));
  }
  const text = parts.toString();
  return text === '' ? '' : `?${text}`;
}

const part = encodeURIComponent;

/** The events of a stream; a refusal before the first event is thrown. */
async function* stream(method: string, path: string, options: Call, onBytes?: () => void): AsyncGenerator<ServerEvent> {
  const response = await call(method, path, options);
  if (!response.ok || !response.body) throw problemOf(response.status, await response.text());
  try {
    yield* readEvents(response.body, onBytes);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem(0, 'broken_off', 'The connection was lost.');
  }
}

export const api = {
  setupNeeded: () => json<{ needed: boolean }>('GET', '/setup', { quiet: true }),
  setup: (body: { code: string; name: string; password: string }) =>
    json<Session>('POST', '/setup', { body, quiet: true }),
  login: (body: { name: string; password: string }) => json<Session>('POST', '/login', { body, quiet: true }),
  logout: () => json<void>('POST', '/logout'),
  session: () => json<Session>('GET', '/session', { quiet: true }),

  collections: async () => (await json<{ collections: Collection[] }>('GET', '/collections')).collections,
  addCollection: (name: string) => json<{ id: string }>('POST', '/collections', { body: { name } }),
  removeCollection: (id: string) => json<void>('DELETE', `/collections/${part(id)}`),
  grants: async (id: string) => (await json<{ grants: Grant[] }>('GET', `/collections/${part(id)}/grants`)).grants,
  grant: (id: string, user: string, level: Level) =>
    json<void>('POST', `/collections/${part(id)}/grants`, { body: { user, level } }),
  revoke: (id: string, user: string) => json<void>('DELETE', `/collections/${part(id)}/grants`, { body: { user } }),

  documents: (collection: string, after: string | null, limit: number) =>
    json<{ documents: Document[]; next: string | null }>(
      'GET',
      `/collections/${part(collection)}/documents${query({ after, limit })}`,
    ),
  document: (id: string) => json<DocumentDetail>('GET', `/documents/${part(id)}`),
  removeDocument: (id: string) =>
    json<{ removed: { name: string; passages: number; bytes: number }; audit: number }>(
      'DELETE',
      `/documents/${part(id)}`,
    ),
  retry: (id: string) => json<void>('POST', `/documents/${part(id)}/retry`),
  // Of a version where one is named, else of the current one.
  page: (id: string, page: number, version: number | null, signal?: AbortSignal) =>
    json<PageView>('GET', `/documents/${part(id)}/pages/${page}${query({ version })}`, signal ? { signal } : {}),
  original: (id: string, version: number | null) => address(`/documents/${part(id)}/original${query({ version })}`),
  download: (id: string, version: number | null) =>
    address(`/documents/${part(id)}/original${query({ download: 1, version })}`),
  boxes: (id: string, start: number, end: number, version: number | null) =>
    json<{ boxes: Box[] }>('GET', `/documents/${part(id)}/boxes${query({ start, end, version })}`),

  jobs: async (collection: string) => (await json<{ jobs: Job[] }>('GET', `/jobs${query({ collection })}`)).jobs,
  cancelJob: (id: string) => json<void>('POST', `/jobs/${part(id)}/cancel`),
  jobEvents: (signal: AbortSignal, onBytes: () => void) => stream('GET', '/jobs/events', { signal }, onBytes),

  search: (body: { collection: string; query: string; documents?: string[]; limit?: number }, signal: AbortSignal) =>
    json<SearchResult>('POST', '/search', { body, signal }),
  ask: (body: { collection: string; question: string; documents?: string[] }, signal: AbortSignal) =>
    stream('POST', '/ask', { body, signal }),
  answer: (audit: number) => json<Answer>('GET', `/answers/${audit}`),

  audit: (filter: { after: number | null; limit: number; action: string; actor: string }) =>
    json<AuditPage>('GET', `/audit${query(filter)}`),
  auditExport: (format: 'jsonl' | 'csv', from: string, to: string) =>
    address(`/audit/export${query({ format, from, to })}`),
  verifyAudit: () => json<AuditVerdict>('POST', '/audit/verify'),

  users: async () => (await json<{ users: UserRow[] }>('GET', '/users')).users,
  addUser: (body: { name: string; role: Role; password: string }) => json<{ id: string }>('POST', '/users', { body }),
  disableUser: (id: string) => json<void>('POST', `/users/${part(id)}/disable`),
  setPassword: (id: string, password: string) =>
    json<void>('POST', `/users/${part(id)}/password`, { body: { password } }),
  keys: async () => (await json<{ keys: KeyRow[] }>('GET', '/keys')).keys,
  addKey: (label: string) => json<{ id: string; key: string }>('POST', '/keys', { body: { label } }),
  removeKey: (id: string) => json<void>('DELETE', `/keys/${part(id)}`),

  models: async () => (await json<{ models: Model[] }>('GET', '/models')).models,
  status: () => json<Status>('GET', '/status'),
  /** Answers with status 503 while something is missing, and says what. */
  readiness: async (): Promise<Readiness> => {
    const response = await call('GET', '/readyz', { quiet: true });
    const text = await response.text();
    if (response.status !== 200 && response.status !== 503) throw problemOf(response.status, text);
    return JSON.parse(text) as Readiness;
  },
};
