// Collections, the documents of the chosen one, and the jobs that read them. The server is the truth: this copy is
// filled anew whenever the stream of job events has been away.

import { api, Problem } from '../lib/api.ts';
import { isReady, isUnfinished } from '../lib/rows.ts';
import type { Collection, Document, Job } from '../lib/wire.ts';
import { t } from '../messages/index.ts';
import { announcer } from './announce.svelte.ts';

const SLICE = 200;
/** The most that the server gives at once. */
const SLICE_LARGE = 1000;
/** Silence after which the stream is taken for dead: three keep-alives. */
const SILENCE_MS = 45_000;
const COUNT_MS = 300;
const WAIT_FIRST_MS = 500;
const WAIT_LONGEST_MS = 15_000;

class Library {
  collections = $state<Collection[]>([]);
  loaded = $state(false);
  chosen = $state<string | null>(null);
  documents = $state<Document[]>([]);
  next = $state<string | null>(null);
  loading = $state(false);
  /** Whether the rest of the list is being asked for. */
  filling = $state(false);
  jobs = $state<Record<string, Job>>({});
  ticked = $state<string[]>([]);
  connected = $state(true);
  problem = $state<string | null>(null);

  #stop: AbortController | null = null;
  #turn = 0;
  #counting: ReturnType<typeof setTimeout> | null = null;

  collection = $derived(this.collections.find((one) => one.id === this.chosen) ?? null);
  ready = $derived(this.documents.filter(isReady));

  get mayWrite(): boolean {
    return this.collection !== null && this.collection.level !== 'read';
  }

  async start(): Promise<void> {
    this.stop();
    const stop = new AbortController();
    this.#stop = stop;
    await this.refreshCollections();
    void this.#listen(stop.signal);
  }

  stop(): void {
    this.#stop?.abort();
    this.#stop = null;
    this.collections = [];
    this.documents = [];
    this.jobs = {};
    this.ticked = [];
    this.chosen = null;
    this.loaded = false;
  }

  async refreshCollections(): Promise<void> {
    try {
      this.collections = await api.collections();
      this.problem = null;
    } catch (error) {
      this.problem = messageOf(error);
    } finally {
      this.loaded = true;
    }
  }

  /** Counts change with every document; they are asked for once in a while. */
  refreshCollectionsSoon(): void {
    this.#counting ??= setTimeout(() => {
      this.#counting = null;
      if (this.#stop) void this.refreshCollections();
    }, COUNT_MS);
  }

  async choose(id: string | null): Promise<void> {
    if (id === this.chosen) return;
    // What is still on its way belongs to the collection that is left.
    this.#turn += 1;
    this.loading = false;
    this.filling = false;
    this.chosen = id;
    this.documents = [];
    this.next = null;
    this.ticked = [];
    if (id !== null) await this.reload();
  }

  /** Fills the list anew, as far as it had been filled. */
  async reload(): Promise<void> {
    const collection = this.chosen;
    if (collection === null) return;
    this.#turn += 1;
    const turn = this.#turn;
    this.loading = true;
    const wanted = Math.max(SLICE, this.documents.length);
    try {
      const found: Document[] = [];
      let after: string | null = null;
      do {
        const slice: { documents: Document[]; next: string | null } = await api.documents(collection, after, SLICE);
        if (turn !== this.#turn) return;
        found.push(...slice.documents);
        after = slice.next;
      } while (after !== null && found.length < wanted);
      this.documents = found;
      this.next = after;
      this.ticked = this.ticked.filter((id) => found.some((document) => document.id === id));
      this.problem = null;
    } catch (error) {
      if (turn === this.#turn) this.problem = messageOf(error);
    } finally {
      if (turn === this.#turn) this.loading = false;
    }
  }

  /** Adds the next slice to the list; says whether it came. */
  async more(limit = SLICE): Promise<boolean> {
    const collection = this.chosen;
    if (collection === null || this.next === null) return false;
    const turn = this.#turn;
    let slice: { documents: Document[]; next: string | null };
    try {
      slice = await api.documents(collection, this.next, limit);
    } catch (error) {
      if (turn === this.#turn) this.problem = messageOf(error);
      return false;
    }
    if (turn !== this.#turn) return false;
    const known = new Set(this.documents.map((document) => document.id));
    this.documents.push(...slice.documents.filter((document) => !known.has(document.id)));
    this.next = slice.next;
    return true;
  }

  /** Adds all slices that are left. */
  async all(): Promise<void> {
    if (this.filling) return;
    this.filling = true;
    const collection = this.chosen;
    let going = true;
    while (going && this.next !== null) going = await this.more(SLICE_LARGE);
    if (collection === this.chosen) this.filling = false;
  }

  /** Takes one document's state from the server and puts it in its place. */
  async refreshDocument(id: string): Promise<void> {
    try {
      const { ledger: _l, versions: _v, names: _n, ...document } = await api.document(id);
      if (document.collection !== this.chosen && document.collection !== this.collection?.name) return;
      const at = this.documents.findIndex((one) => one.id === id);
      if (at >= 0) this.documents[at] = document;
      else this.documents.push(document);
    } catch (error) {
      if (error instanceof Problem && error.status === 404) this.#forget(id);
    }
  }

  #forget(id: string): void {
    this.documents = this.documents.filter((document) => document.id !== id);
    this.ticked = this.ticked.filter((one) => one !== id);
    delete this.jobs[id];
  }

  async remove(id: string): Promise<{ passages: number; audit: number }> {
    const done = await api.removeDocument(id);
    this.#forget(id);
    this.refreshCollectionsSoon();
    return { passages: done.removed.passages, audit: done.audit };
  }

  /** Removes a collection with all that is in it. */
  async removeCollection(id: string): Promise<void> {
    await api.removeCollection(id);
    this.collections = this.collections.filter((one) => one.id !== id);
    if (this.chosen === id) await this.choose(null);
    await this.refreshCollections();
  }

  tick(id: string, on: boolean): void {
    this.ticked = on ? [...this.ticked.filter((one) => one !== id), id] : this.ticked.filter((one) => one !== id);
  }

  async #listen(signal: AbortSignal): Promise<void> {
    let wait = WAIT_FIRST_MS;
    let first = true;
    while (!signal.aborted) {
      try {
        await this.#events(signal, first, () => {
          wait = WAIT_FIRST_MS;
        });
      } catch (error) {
        if (error instanceof Problem && error.status === 401) return;
      }
      if (signal.aborted) return;
      first = false;
      this.connected = false;
      await pause(wait * (0.75 + Math.random() / 2), signal);
      wait = Math.min(wait * 2, WAIT_LONGEST_MS);
    }
  }

  async #events(outer: AbortSignal, first: boolean, onOpen: () => void): Promise<void> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    let open = false;
    const alive = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      if (open) return;
      open = true;
      onOpen();
      this.connected = true;
      if (!first) void this.#resync();
    };
    try {
      for await (const { event, data } of api.jobEvents(AbortSignal.any([outer, silence.signal]), alive)) {
        if (event === 'job') this.#job(JSON.parse(data) as Job);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** What ended while nobody listened was not told: everything is asked for again. */
  async #resync(): Promise<void> {
    this.jobs = {};
    await Promise.all([this.refreshCollections(), this.reload()]);
    const jobs = this.chosen === null ? [] : await api.jobs(this.chosen).catch(() => []);
    for (const job of jobs) if (isUnfinished(job)) this.jobs[job.document] = job;
  }

  #job(job: Job): void {
    const before = this.jobs[job.document];
    if (isUnfinished(job)) {
      this.jobs[job.document] = job;
      if (before === undefined) {
        if (!this.documents.some((document) => document.id === job.document)) void this.refreshDocument(job.document);
        if (this.#isHere(job)) announcer.say(t.announce.started(job.name));
      }
      return;
    }
    delete this.jobs[job.document];
    void this.refreshDocument(job.document);
    this.refreshCollectionsSoon();
    if (this.#isHere(job)) announcer.say(t.announce.ended(job));
  }

  #isHere(job: Job): boolean {
    return job.collection === this.chosen || job.collection === this.collection?.name;
  }
}

export function messageOf(error: unknown): string {
  if (error instanceof Problem) return t.problem(error.code, error.message);
  return error instanceof Error ? error.message : String(error);
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}

export const library = new Library();
