// A page of a document that has no layout, as runs of text: which block each belongs to, and whether it is quoted.

import { scalarLength, unitIndex } from './scalars.ts';
import type { Block, PageView } from './wire.ts';

export interface Run {
  text: string;
  quoted: boolean;
}

export interface TextBlock {
  kind: string;
  level: number;
  runs: Run[];
}

/** Most characters of one page that are put into the document at once. */
export const PAGE_CHARACTERS_MAX = 200_000;

export interface PageText {
  blocks: TextBlock[];
  /** Whether text before or after the shown part was left out. */
  before: boolean;
  after: boolean;
}

/** Cuts a page at its blocks and at the quote `start..end` (offsets in the canonical text). */
export function pageText(
  page: Pick<PageView, 'text' | 'start' | 'blocks'>,
  quote: { start: number; end: number } | null,
  most: number = PAGE_CHARACTERS_MAX,
): PageText {
  const length = scalarLength(page.text);
  const from = quote ? clamp(quote.start - page.start, length) : 0;
  const to = quote ? clamp(quote.end - page.start, length) : 0;
  const first = length > most ? clamp(from - Math.floor(most / 2), length - most) : 0;
  const last = Math.min(length, first + most);
  const cuts = new Cutter(page.text);
  const blocks: TextBlock[] = [];
  let at = first;
  const add = (kind: string, level: number, start: number, end: number): void => {
    const runs = runsOf(cuts, Math.max(start, at), Math.min(end, last), from, to);
    if (runs.length > 0) blocks.push({ kind, level, runs });
    at = Math.max(at, Math.min(end, last));
  };
  for (const block of ordered(page.blocks)) {
    if (block.end <= at || block.start >= last) continue;
    if (block.start > at) add('between', 0, at, block.start);
    add(block.kind, block.level, block.start, block.end);
  }
  if (at < last) add('between', 0, at, last);
  return { blocks, before: first > 0, after: last < length };
}

function ordered(blocks: readonly Block[]): Block[] {
  return blocks.filter((block) => block.end > block.start).sort((a, b) => a.start - b.start || b.end - a.end);
}

function runsOf(cuts: Cutter, start: number, end: number, from: number, to: number): Run[] {
  const runs: Run[] = [];
  const push = (a: number, b: number, quoted: boolean): void => {
    if (b > a) {
      const text = cuts.slice(a, b);
      // What lies between two blocks is line ends that the layout shows already.
      if (text.trim() !== '' || quoted) runs.push({ text, quoted });
    }
  };
  push(start, Math.min(end, from > to ? end : Math.max(start, from)), false);
  push(Math.max(start, from), Math.min(end, to), true);
  push(Math.min(end, Math.max(start, to)), end, false);
  return from >= to ? [{ text: cuts.slice(start, end), quoted: false }].filter((run) => run.text.trim() !== '') : runs;
}

/** Slices by scalar values, going forward through the text once. */
class Cutter {
  #scalar = 0;
  #unit = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  #index(scalar: number): number {
    if (scalar < this.#scalar) {
      this.#scalar = 0;
      this.#unit = 0;
    }
    this.#unit = unitIndex(this.#text, scalar - this.#scalar, this.#unit);
    this.#scalar = scalar;
    return this.#unit;
  }

  slice(start: number, end: number): string {
    const from = this.#index(start);
    return this.#text.slice(from, this.#index(end));
  }
}

function clamp(value: number, most: number): number {
  return Math.min(Math.max(value, 0), most);
}
