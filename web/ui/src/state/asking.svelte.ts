// One question at a time, from the evidence to the checked answer.

import { api, Problem } from '../lib/api.ts';
import { forgetKept, readKept, windowStore, writeKept } from '../lib/remember.ts';
import type { Answer, Citation, Coverage, Passage } from '../lib/wire.ts';
import { t } from '../messages/index.ts';
import { announcer } from './announce.svelte.ts';
import { messageOf } from './library.svelte.ts';
import { session } from './session.svelte.ts';

export type Phase = 'idle' | 'searching' | 'waiting' | 'reading' | 'answering' | 'done' | 'stopped' | 'failed';
export type Mode = 'ask' | 'search';

export interface Scope {
  collection: string;
  documents: string[];
  label: string;
}

/** An answer of this session, as the list names it. */
type Past = Pick<Answer, 'question' | 'audit' | 'state'>;

const TICK_MS = 100;
const SEARCH_LIMIT = 20;
/** Answers of this session that are there again after the page is loaded anew. */
const EARLIER_KEPT = 10;

class Asking {
  phase = $state<Phase>('idle');
  mode = $state<Mode>('ask');
  question = $state('');
  scope = $state<Scope | null>(null);
  passages = $state<Passage[]>([]);
  coverage = $state<Coverage | null>(null);
  provisional = $state('');
  citations = $state<Citation[]>([]);
  answer = $state<Answer | null>(null);
  problem = $state<string | null>(null);
  ahead = $state(0);
  read = $state<{ done: number; total: number } | null>(null);
  seconds = $state(0);
  earlier = $state<Past[]>([]);

  #stop: AbortController | null = null;
  #restored = false;

  busy = $derived(['searching', 'waiting', 'reading', 'answering'].includes(this.phase));

  reset(): void {
    this.#stop?.abort();
    this.#stop = null;
    this.#clear();
    this.phase = 'idle';
    this.question = '';
    this.#keep();
  }

  forget(): void {
    this.reset();
    this.earlier = [];
    this.#restored = false;
    forgetKept(windowStore());
  }

  /** After the page was loaded anew: asks for the answers of this session by the numbers that were kept. */
  async restoreOnce(): Promise<void> {
    const user = session.user?.id;
    if (user === undefined || this.#restored) return;
    this.#restored = true;
    const { shown, answers } = readKept(windowStore(), user);
    const asked = await Promise.allSettled(answers.slice(0, EARLIER_KEPT).map((audit) => api.answer(audit)));
    if (session.user?.id !== user) return;
    const found = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const known = new Set(this.earlier.map((past) => past.audit));
    this.earlier = [...this.earlier, ...found.filter((answer) => !known.has(answer.audit)).map(past)];
    const last = found.find((answer) => answer.audit === shown);
    if (last && this.phase === 'idle') this.#show(last);
    this.#keep();
  }

  #show(answer: Answer): void {
    this.mode = 'ask';
    this.question = answer.question;
    this.scope = null;
    this.#take(answer);
    this.phase = 'done';
  }

  /** Numbers of receipts, and nothing else. */
  #keep(): void {
    const user = session.user?.id;
    if (user === undefined) return;
    const answers = this.earlier.slice(0, EARLIER_KEPT).map((past) => past.audit);
    writeKept(windowStore(), { user, shown: this.answer?.audit ?? null, answers });
  }

  #clear(): void {
    this.passages = [];
    this.coverage = null;
    this.provisional = '';
    this.citations = [];
    this.answer = null;
    this.problem = null;
    this.ahead = 0;
    this.read = null;
    this.seconds = 0;
  }

  stop(): void {
    if (!this.busy) return;
    this.#stop?.abort();
    this.phase = 'stopped';
    announcer.say(t.ask.stopped);
  }

  async start(mode: Mode, question: string, scope: Scope): Promise<void> {
    this.#stop?.abort();
    const stop = new AbortController();
    this.#stop = stop;
    this.#clear();
    this.#keep();
    this.mode = mode;
    this.question = question;
    this.scope = scope;
    this.phase = 'searching';
    announcer.say(t.ask.started);
    const begun = performance.now();
    const clock = setInterval(() => {
      if (this.#stop === stop && this.busy) this.seconds = (performance.now() - begun) / 1000;
    }, TICK_MS);
    try {
      if (mode === 'search') await this.#search(question, scope, stop.signal);
      else await this.#ask(question, scope, stop.signal);
    } catch (error) {
      if (!stop.signal.aborted) this.#fail(messageOf(error));
    } finally {
      clearInterval(clock);
    }
  }

  async #search(query: string, scope: Scope, signal: AbortSignal): Promise<void> {
    const body = { collection: scope.collection, query, limit: SEARCH_LIMIT };
    const found = await api.search(scope.documents.length > 0 ? { ...body, documents: scope.documents } : body, signal);
    this.passages = found.passages;
    this.coverage = found.coverage;
    this.seconds = found.milliseconds / 1000;
    this.phase = 'done';
    announcer.say(t.ask.foundPassages(found.passages.length));
  }

  async #ask(question: string, scope: Scope, signal: AbortSignal): Promise<void> {
    const body = { collection: scope.collection, question };
    const events = api.ask(scope.documents.length > 0 ? { ...body, documents: scope.documents } : body, signal);
    for await (const { event, data } of events) {
      if (signal.aborted) return;
      this.#event(event, data);
    }
    if (this.busy && !signal.aborted) throw new Problem(0, 'broken_off', '');
  }

  #event(event: string, text: string): void {
    const data = JSON.parse(text);
    switch (event) {
      case 'retrieved': {
        const found: { passages: Passage[]; coverage: Coverage } = data;
        this.passages = found.passages;
        this.coverage = found.coverage;
        this.phase = 'reading';
        announcer.say(t.ask.foundPassages(found.passages.length));
        break;
      }
      case 'waiting':
        this.ahead = (data as { ahead: number }).ahead;
        this.phase = 'waiting';
        break;
      case 'reading':
        this.read = data;
        this.phase = 'reading';
        break;
      case 'token':
        this.provisional += (data as { text: string }).text;
        this.phase = 'answering';
        break;
      case 'citation':
        this.citations.push(data);
        break;
      case 'done':
        this.#done(data);
        break;
      case 'error': {
        const problem: { code: string; detail: string } = data;
        this.#fail(t.problem(problem.code, problem.detail));
        break;
      }
    }
  }

  #take(answer: Answer): void {
    this.answer = answer;
    this.citations = answer.citations;
    this.passages = answer.passages;
    this.coverage = answer.coverage;
    this.seconds = answer.timings.total_ms / 1000;
  }

  #done(answer: Answer): void {
    this.#take(answer);
    this.phase = 'done';
    this.earlier = [past(answer), ...this.earlier];
    this.#keep();
    announcer.say(t.ask.announceAnswer(answer));
  }

  #fail(message: string): void {
    this.problem = message;
    this.phase = 'failed';
    announcer.say(t.ask.announceFailure(message));
  }
}

function past({ question, audit, state }: Answer): Past {
  return { question, audit, state };
}

export const asking = new Asking();
