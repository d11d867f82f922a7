// The document beside the answer: which page, and what is marked on it.

import type { Box, Citation, Passage } from '../lib/wire.ts';

export interface Target {
  document: string;
  name: string;
  page: number;
  start: number | null;
  end: number | null;
  boxes: Box[];
  /** The version to show; null for the current one. */
  version: number | null;
  /** What is cited, and whether it stands at its place in that version. Without a version it is not known which. */
  quote: { text: string; stands: boolean } | null;
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
    this.open(ofCitation(citation));
  }

  openPassage(passage: Passage): void {
    this.#citations = [];
    this.open(ofPassage(passage));
  }

  openDocument(document: string, name: string, page = 1): void {
    this.#citations = [];
    this.open({ document, name, page, start: null, end: null, boxes: [], version: null, quote: null, marker: null });
  }

  get citations(): readonly Citation[] {
    return this.target?.marker === null ? [] : this.#citations;
  }

  /** Goes to the next or the last citation of the answer. */
  step(by: 1 | -1): void {
    const all = this.citations;
    const at = all.findIndex((citation) => citation.marker === this.target?.marker);
    const next = all[(at + by + all.length) % all.length];
    if (next) this.open(ofCitation(next));
  }

  /** What was opened from an answer or from passages goes with them; a document opened by itself stays. */
  leaveAnswer(): void {
    if (this.target !== null && this.target.quote !== null) this.target = null;
  }

  /** Gives the focus back to what opened the viewer. */
  close(): void {
    this.target = null;
    if (this.#opener?.isConnected) this.#opener.focus();
    this.#opener = null;
  }
}

/** Only what stands at its place is marked there. */
function place(
  found: Citation | Passage,
  stands: boolean,
): Pick<Target, 'document' | 'name' | 'page' | 'start' | 'end' | 'boxes'> {
  const { document, name, page } = found;
  const marked = stands
    ? { start: found.start, end: found.end, boxes: found.boxes }
    : { start: null, end: null, boxes: [] };
  return { document, name, page, ...marked };
}

function ofCitation(citation: Citation): Target {
  const { version, marker, verified } = citation;
  return { ...place(citation, verified), version, quote: { text: citation.quote, stands: verified }, marker };
}

function ofPassage(passage: Passage): Target {
  const stands = passage.text !== '' && passage.version > 0;
  const version = passage.version > 0 ? passage.version : null;
  return { ...place(passage, stands), version, quote: { text: passage.text, stands }, marker: null };
}

export const viewing = new Viewing();
