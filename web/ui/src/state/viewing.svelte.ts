// The document beside the answer: which page, and what is marked on it.

import type { Box, Citation, Passage } from '../lib/wire.ts';

export interface Target {
  document: string;
  name: string;
  page: number;
  start: number | null;
  end: number | null;
  boxes: Box[];
  /** Number of the citation, when one was opened. */
  marker: number | null;
}

class Viewing {
  target = $state<Target | null>(null);
  /** Counts openings, so that the same place opened twice is scrolled to twice. */
  turn = $state(0);
  #citations: Citation[] = [];
  #opener: HTMLElement | null = null;

  open(target: Target): void {
    if (this.target === null) this.#opener = document.activeElement as HTMLElement | null;
    this.target = target;
    this.turn += 1;
  }

  openCitation(citation: Citation, among: Citation[]): void {
    this.#citations = among;
    this.open({ ...pick(citation), marker: citation.marker });
  }

  openPassage(passage: Passage): void {
    this.#citations = [];
    this.open({ ...pick(passage), marker: null });
  }

  openDocument(document: string, name: string, page = 1): void {
    this.#citations = [];
    this.open({ document, name, page, start: null, end: null, boxes: [], marker: null });
  }

  get citations(): readonly Citation[] {
    return this.target?.marker === null ? [] : this.#citations;
  }

  /** Goes to the next or the last citation of the answer. */
  step(by: 1 | -1): void {
    const all = this.citations;
    const at = all.findIndex((citation) => citation.marker === this.target?.marker);
    const next = all[(at + by + all.length) % all.length];
    if (next) this.open({ ...pick(next), marker: next.marker });
  }

  /** Gives the focus back to what opened the viewer. */
  close(): void {
    this.target = null;
    if (this.#opener?.isConnected) this.#opener.focus();
    this.#opener = null;
  }
}

function pick(found: Citation | Passage): Omit<Target, 'marker'> {
  const { document, name, page, start, end, boxes } = found;
  return { document, name, page, start, end, boxes };
}

export const viewing = new Viewing();
