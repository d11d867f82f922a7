// Files on their way to the server: a few at a time, each can be cancelled and tried again.

import type { Fault, UploadItem } from './wire.ts';

export type TransferState = 'waiting' | 'sending' | 'received' | 'updated' | 'unchanged' | 'duplicate' | 'failed';

/** One file. `name` holds the folders it was dropped with. */
export interface Transfer<F> {
  key: number;
  collection: string;
  name: string;
  size: number;
  file: F;
  keepDuplicate: boolean;
  state: TransferState;
  sent: number;
  document: string | null;
  duplicateOf: string | null;
  /** Of a file that takes the place of another: the number of the new version, once it is known. */
  version: number | null;
  error: Fault | null;
}

/** Whether a file waits or is being sent. */
export function isMoving(transfer: { readonly state: TransferState }): boolean {
  return transfer.state === 'waiting' || transfer.state === 'sending';
}

export interface Sending {
  done: Promise<UploadItem>;
  abort(): void;
}

/** Starts one upload; `onProgress` gets the bytes sent so far. */
export type Send<F> = (transfer: Readonly<Transfer<F>>, onProgress: (bytes: number) => void) => Sending;

export interface QueueOptions<F> {
  send: Send<F>;
  parallel: number;
  /** Most transfers held at once. */
  most: number;
  onChange: () => void;
  onSettled: (transfer: Readonly<Transfer<F>>) => void;
}

export class UploadQueue<F> {
  readonly #options: QueueOptions<F>;
  readonly #running = new Map<number, Sending>();
  #transfers: Transfer<F>[] = [];
  #next = 1;

  constructor(options: QueueOptions<F>) {
    this.#options = options;
  }

  get transfers(): readonly Readonly<Transfer<F>>[] {
    return this.#transfers;
  }

  /** Adds files; returns how many did not fit. */
  add(collection: string, files: readonly { name: string; size: number; file: F }[]): number {
    const room = Math.max(0, this.#options.most - this.#transfers.length);
    for (const { name, size, file } of files.slice(0, room)) {
      this.#supersede(collection, name);
      this.#transfers.push({
        key: this.#next,
        collection,
        name,
        size,
        file,
        keepDuplicate: false,
        state: 'waiting',
        sent: 0,
        document: null,
        duplicateOf: null,
        version: null,
        error: null,
      });
      this.#next += 1;
    }
    this.#pump();
    return Math.max(0, files.length - room);
  }

  /** What was said of an earlier file of that name is no longer so. */
  #supersede(collection: string, name: string): void {
    const old = (one: Transfer<F>): boolean => one.collection === collection && one.name === name && !isMoving(one);
    this.#transfers = this.#transfers.filter((one) => !old(one));
  }

  /** Adds to a note which version its file became. */
  became(key: number, version: number): void {
    const transfer = this.#transfers.find((one) => one.key === key);
    if (transfer) transfer.version = version;
    this.#options.onChange();
  }

  /** Stops a transfer, or takes a finished one off the list. */
  remove(key: number): void {
    const sending = this.#running.get(key);
    this.#running.delete(key);
    this.#transfers = this.#transfers.filter((transfer) => transfer.key !== key);
    sending?.abort();
    this.#pump();
  }

  /** Sends a failed file again, or a duplicate as a document of its own. */
  again(key: number, keepDuplicate: boolean): void {
    const transfer = this.#transfers.find((one) => one.key === key);
    if (!transfer || isMoving(transfer)) return;
    Object.assign(transfer, {
      state: 'waiting',
      sent: 0,
      error: null,
      duplicateOf: null,
      version: null,
      keepDuplicate,
    });
    this.#pump();
  }

  /** Stops what waits and what is being sent to a collection; returns how many. Notes on finished ones stay. */
  cancel(collection: string): number {
    const gone = this.#transfers.filter((one) => one.collection === collection && isMoving(one));
    const keys = new Set(gone.map((one) => one.key));
    const running = gone.map((one) => this.#running.get(one.key));
    for (const key of keys) this.#running.delete(key);
    this.#transfers = this.#transfers.filter((one) => !keys.has(one.key));
    for (const sending of running) sending?.abort();
    this.#pump();
    return gone.length;
  }

  /** Whether anything waits or is being sent. */
  get busy(): boolean {
    return this.#transfers.some(isMoving);
  }

  /** Stops everything, as when the user logs out. */
  clear(): void {
    const running = [...this.#running.values()];
    this.#running.clear();
    this.#transfers = [];
    for (const sending of running) sending.abort();
    this.#options.onChange();
  }

  #pump(): void {
    for (const transfer of this.#transfers) {
      if (this.#running.size >= this.#options.parallel) break;
      if (transfer.state === 'waiting') this.#start(transfer);
    }
    this.#options.onChange();
  }

  #start(transfer: Transfer<F>): void {
    transfer.state = 'sending';
    const sending = this.#options.send(transfer, (bytes) => {
      transfer.sent = Math.min(bytes, transfer.size);
      this.#options.onChange();
    });
    this.#running.set(transfer.key, sending);
    const settle = (change: Partial<Transfer<F>>): void => {
      if (this.#running.get(transfer.key) !== sending) return;
      this.#running.delete(transfer.key);
      Object.assign(transfer, change);
      this.#options.onSettled(transfer);
      if (transfer.state === 'received') this.#transfers = this.#transfers.filter((one) => one !== transfer);
      this.#pump();
    };
    sending.done.then(
      (item) => settle(outcome(item)),
      (error: unknown) => settle({ state: 'failed', error: faultOf(error) }),
    );
  }
}

function outcome(item: UploadItem): Partial<Transfer<never>> {
  const common = { document: item.document, duplicateOf: item.duplicate_of, error: item.error };
  switch (item.status) {
    case 'queued':
      return { ...common, state: 'received' };
    case 'updated':
    case 'unchanged':
    case 'duplicate':
      return { ...common, state: item.status };
    default:
      return { ...common, state: 'failed', error: item.error ?? { code: 'failed', message: '' } };
  }
}

function faultOf(error: unknown): Fault {
  if (typeof error === 'object' && error !== null && 'code' in error && 'message' in error) {
    return { code: String(error.code), message: String(error.message) };
  }
  return { code: 'failed', message: error instanceof Error ? error.message : String(error) };
}
