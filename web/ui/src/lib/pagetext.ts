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
    // What lies between two blocks is line ends that the layout shows already.
    const shown = kind === 'between' ? runs.some((run) => run.text.trim() !== '') : runs.length > 0;
    if (shown) blocks.push({ kind, level, runs });
    at = Math.max(at, Math.min(end, last));
  };
  for (const block of ordered(withoutFrames(page.blocks))) {
    if (block.end <= at || block.start >= last) continue;
    if (block.start > at) add('between', 0, at, block.start);
    add(block.kind, block.level, block.start, block.end);
  }
  if (at < last) add('between', 0, at, last);
  return { blocks, before: first > 0, after: last < length };
}

/** Rows of a table stand within it: the rows are shown, in place of the whole. */
function withoutFrames(blocks: readonly Block[]): Block[] {
  const rows = blocks.filter((block) => block.kind === 'table_row');
  return blocks.filter(
    (block) => block.kind !== 'table' || !rows.some((row) => row.start >= block.start && row.end <= block.end),
  );
}

function ordered(blocks: readonly Block[]): Block[] {
  return blocks.filter((block) => block.end > block.start).sort((a, b) => a.start - b.start || b.end - a.end);
}

function runsOf(cuts: Cutter, start: number, end: number, from: number, to: number): Run[] {
  const runs: Run[] = [];
  const push = (a: number, b: number, quoted: boolean): void => {
    if (b > a) {
      const text = cuts.slice(a, b);
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

export type Part =
  | { kind: 'heading'; level: number; runs: Run[] }
  | { kind: 'list'; items: { level: number; runs: Run[] }[] }
  | { kind: 'table'; rows: Run[][][] }
  | { kind: 'code' | 'aside' | 'paragraph'; runs: Run[] };

const ASIDES = new Set(['header', 'footer', 'note']);

/** Blocks as a reader meets them: items that follow one another are a list, rows a table. */
export function partsOf(blocks: readonly TextBlock[]): Part[] {
  const parts: Part[] = [];
  for (const { kind, level, runs } of blocks) {
    const last = parts.at(-1);
    if (kind.startsWith('list')) {
      if (last?.kind === 'list') last.items.push({ level, runs });
      else parts.push({ kind: 'list', items: [{ level, runs }] });
    } else if (kind.startsWith('table')) {
      const rows = kind === 'table' ? linesOf(runs) : [runs];
      const cells = rows.map((row) => splitRuns(row, '\t'));
      if (last?.kind === 'table') last.rows.push(...cells);
      else parts.push({ kind: 'table', rows: cells });
    } else if (kind.startsWith('heading')) {
      parts.push({ kind: 'heading', level: Math.max(1, level), runs });
    } else {
      const aside = ASIDES.has(kind) || kind.startsWith('mail');
      parts.push({ kind: kind.startsWith('code') ? 'code' : aside ? 'aside' : 'paragraph', runs });
    }
  }
  return parts;
}

/** A table without rows of its own has a row on each line. */
function linesOf(runs: readonly Run[]): Run[][] {
  return splitRuns(runs, '\n').filter((row) => row.some((run) => run.text.trim() !== ''));
}

/** Cuts runs at a character, which is left out. */
function splitRuns(runs: readonly Run[], at: string): Run[][] {
  const pieces: Run[][] = [[]];
  for (const { text, quoted } of runs) {
    for (const [index, piece] of text.split(at).entries()) {
      if (index > 0) pieces.push([]);
      if (piece !== '') pieces.at(-1)?.push({ text: piece, quoted });
    }
  }
  return pieces;
}
