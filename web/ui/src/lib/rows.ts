// What the list says of a document, from what the server last said of it and of its job.

import type { Document, DocumentStatus, Fault, Gap, Job, JobState } from './wire.ts';

export type RowState = 'queued' | 'reading' | 'embedding' | 'indexing' | 'ready' | 'partial' | 'failed' | 'cancelled';

export interface Row {
  state: RowState;
  /** Whether work goes on: the row shows progress and can be stopped. */
  running: boolean;
  page: number;
  pages: number | null;
  secondsLeft: number | null;
  gaps: Gap[];
  error: Fault | null;
}

const UNFINISHED: readonly JobState[] = ['queued', 'reading', 'embedding', 'indexing'];

export function isUnfinished(job: Pick<Job, 'state'>): boolean {
  return UNFINISHED.includes(job.state);
}

/** An unfinished job is newer than the document's own word; a finished one is not asked. */
export function rowOf(document: Document, job: Job | undefined): Row {
  if (job && isUnfinished(job)) {
    return {
      state: job.state as RowState,
      running: true,
      page: job.page,
      pages: job.pages,
      secondsLeft: job.seconds_left,
      gaps: job.gaps,
      error: null,
    };
  }
  const cancelled = document.error?.code === 'cancelled';
  return {
    state: cancelled ? 'cancelled' : document.status,
    running: isRunning(document.status),
    page: 0,
    pages: null,
    secondsLeft: null,
    gaps: document.gaps,
    error: document.error,
  };
}

function isRunning(status: DocumentStatus): boolean {
  return status === 'queued' || status === 'reading' || status === 'indexing';
}

/** Whether questions can be asked of a document. */
export function isReady(document: Document): boolean {
  return document.status === 'ready' || document.status === 'partial' || document.passages > 0;
}

/** Share of the pages read, 0 to 1, or null while it is not known. */
export function share(row: Row): number | null {
  if (row.state !== 'reading' || row.pages === null || row.pages === 0) return null;
  return Math.min(1, row.page / row.pages);
}
