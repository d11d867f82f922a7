// What the page ledger says was not read, or not well.

import type { DocumentDetail } from './wire.ts';

/** Pages that follow one another and share a reason; from 0 when the whole document is meant. */
export interface PageNote {
  from: number;
  to: number;
  text: string;
}

export interface LedgerNotes {
  /** Pages that are not in the text, and why. */
  unread: PageNote[];
  unreadPages: number;
  /** Pages that are in the text, though not without faults. */
  faults: PageNote[];
  faultPages: number;
}

const UNREAD = new Set(['needs_ocr', 'failed', 'skipped']);

export function ledgerNotes(detail: Pick<DocumentDetail, 'ledger' | 'gaps'>): LedgerNotes {
  const unread = new Map<number, string>();
  const faults: [number, string][] = [];
  for (const { page, outcome, reason, problem, problems } of detail.ledger) {
    const found = [...(problem ? [problem] : []), ...(problems ?? [])];
    if (UNREAD.has(outcome)) unread.set(page, [reason ?? outcome, ...found].join('; '));
    else if (found.length > 0) faults.push([page, found.join('; ')]);
  }
  // The ledger is the fuller word; a gap that it does not hold is said all the same.
  for (const { page, reason } of detail.gaps) if (!unread.has(page)) unread.set(page, reason);
  return {
    unread: joined([...unread]),
    unreadPages: [...unread.keys()].filter((page) => page > 0).length,
    faults: joined(faults),
    faultPages: faults.length,
  };
}

function joined(notes: readonly [number, string][]): PageNote[] {
  const all: PageNote[] = [];
  for (const [page, text] of notes.toSorted(([a], [b]) => a - b)) {
    const last = all.at(-1);
    if (last && last.text === text && last.to === page - 1 && last.from > 0) last.to = page;
    else all.push({ from: page, to: page, text });
  }
  return all;
}
