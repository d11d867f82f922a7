// Files that are being sent, as the list shows them.

import { api } from '../lib/api.ts';
import type { Found } from '../lib/files.ts';
import { type Transfer, UploadQueue } from '../lib/queue.ts';
import { sendFile } from '../lib/send.ts';
import { t } from '../messages/index.ts';
import { announcer } from './announce.svelte.ts';
import { library } from './library.svelte.ts';

const PARALLEL = 2;
const REDRAW_MS = 30;
const TRANSFERS_MAX = 10_000;

class Uploads {
  /** Copies, so that the list is drawn anew when one of them changes. */
  transfers = $state.raw<readonly Transfer<File>[]>([]);
  note = $state<string | null>(null);
  #redraw: ReturnType<typeof setTimeout> | null = null;

  readonly #queue = new UploadQueue<File>({
    send: sendFile,
    parallel: PARALLEL,
    most: TRANSFERS_MAX,
    onChange: () => this.#redrawSoon(),
    onSettled: (transfer) => this.#settled(transfer),
  });

  /** Many changes at once are drawn once. */
  #redrawSoon(): void {
    this.#redraw ??= setTimeout(() => {
      this.#redraw = null;
      this.transfers = this.#queue.transfers.map((transfer) => ({ ...transfer }));
    }, REDRAW_MS);
  }

  add(collection: string, found: Found): void {
    const refused = this.#queue.add(collection, found.files);
    const cut = found.cut || refused > 0;
    this.note = t.uploads.note({ files: found.files.length, cut, unreadable: found.unreadable });
    announcer.say(t.uploads.taken(found.files.length - refused));
  }

  remove(key: number): void {
    this.#queue.remove(key);
  }

  /** Stops all uploads to a collection. */
  cancel(collection: string): void {
    const amount = this.#queue.cancel(collection);
    if (amount > 0) announcer.say(t.uploads.cancelled(amount));
  }

  /** Whether leaving the page would lose files that are on their way. */
  get busy(): boolean {
    return this.#queue.busy;
  }

  again(key: number, keepDuplicate = false): void {
    this.#queue.again(key, keepDuplicate);
  }

  clear(): void {
    this.#queue.clear();
    this.note = null;
  }

  #settled(transfer: Readonly<Transfer<File>>): void {
    if (transfer.state === 'received' && transfer.document !== null) void library.refreshDocument(transfer.document);
    if (transfer.state === 'received') library.refreshCollectionsSoon();
    if (transfer.state === 'updated') void this.#updated(transfer);
    if (transfer.state === 'failed') announcer.say(t.uploads.failed(transfer.name));
    if (transfer.state === 'duplicate') announcer.say(t.uploads.duplicate(transfer.name, transfer.duplicateOf ?? ''));
    if (transfer.state === 'unchanged') announcer.say(t.uploads.unchanged(transfer.name));
  }

  /** Asks which version the file has become. */
  async #updated({ key, name, document }: Readonly<Transfer<File>>): Promise<void> {
    if (document === null) return;
    void library.refreshDocument(document);
    try {
      const { versions } = await api.document(document);
      const version = Math.max(...versions.map((one) => one.version));
      this.#queue.became(key, version);
      announcer.say(t.uploads.updated(name, version));
    } catch {
      // Removed meanwhile, or out of reach: the note stands without the number.
    }
  }
}

export const uploads = new Uploads();
