// One question at a time, from the evidence to the checked answer.

import { api, Problem } from '../lib/api.ts';
import type { Answer, Citation, Coverage, Passage } from '../lib/wire.ts';
import { t } from '../messages/index.ts';
import { announcer } from './announce.svelte.ts';
import { messageOf } from './library.svelte.ts';

export type Phase = 'idle' | 'searching' | 'waiting' | 'reading' | 'answering' | 'done' | 'stopped' | 'failed';
export type Mode = 'ask' | 'search';

export interface Scope {
  collection: string;
  documents: string[];
  label: string;
}

const TICK_MS = 100;
const SEARCH_LIMIT = 20;

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
  earlier = $state<{ question: string; audit: number; state: Answer['state'] }[]>([]);

  #stop: AbortController | null = null;

  busy = $derived(['searching', 'waiting', 'reading', 'answering'].includes(this.phase));

  reset(): void {
    this.#stop?.abort();
    this.#stop = null;
    this.#clear();
    this.phase = 'idle';
    this.question = '';
  }

  forget(): void {
    this.reset();
    this.earlier = [];
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

  #done(answer: Answer): void {
    this.answer = answer;
    this.citations = answer.citations;
    this.passages = answer.passages;
    this.coverage = answer.coverage;
    this.seconds = answer.timings.total_ms / 1000;
    this.phase = 'done';
    this.earlier = [{ question: answer.question, audit: answer.audit, state: answer.state }, ...this.earlier];
    announcer.say(t.ask.announceAnswer(answer));
  }

  #fail(message: string): void {
    this.problem = message;
    this.phase = 'failed';
    announcer.say(t.ask.announceFailure(message));
  }
}

export const asking = new Asking();
