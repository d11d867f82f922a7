// What the browser keeps, and nowhere else in the page: numbers of receipts for this window until the user signs out,
// and which collection a user had open last. Never a word of a document, a question or an answer.

const ANSWERS = 'cloister.answers';
const COLLECTION = 'cloister.collection.';

/** As much of `Storage` as is needed. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export interface Kept {
  /** Whose they are: an answer of one user is not looked for by the next. */
  user: string;
  /** The answer on the page. */
  shown: number | null;
  /** Answers of this session, newest first. */
  answers: number[];
}

function isReceipt(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Reads what was kept for a user; what is not in order counts as nothing. */
export function readKept(store: Store, user: string): Kept {
  const nothing: Kept = { user, shown: null, answers: [] };
  try {
    const found: unknown = JSON.parse(store.getItem(ANSWERS) ?? 'null');
    if (typeof found !== 'object' || found === null) return nothing;
    const { user: whose, shown, answers } = found as Record<string, unknown>;
    if (whose !== user || !Array.isArray(answers)) return nothing;
    return { user, shown: isReceipt(shown) ? shown : null, answers: answers.filter(isReceipt) };
  } catch {
    // The browser refuses to keep anything, or holds something else under this name.
    return nothing;
  }
}

export function writeKept(store: Store, kept: Kept): void {
  attempt(() => store.setItem(ANSWERS, JSON.stringify(kept)));
}

export function forgetKept(store: Store): void {
  attempt(() => store.removeItem(ANSWERS));
}

export function lastCollection(store: Store, user: string): string | null {
  return attempt(() => store.getItem(COLLECTION + user)) ?? null;
}

export function keepCollection(store: Store, user: string, collection: string): void {
  attempt(() => store.setItem(COLLECTION + user, collection));
}

/** Without a place to keep things the page works all the same. */
function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}

const NOWHERE: Store = { getItem: () => null, setItem: () => {}, removeItem: () => {} };

/** Until the window is closed. Some browsers refuse to name the place at all. */
export function windowStore(): Store {
  return attempt(() => sessionStorage) ?? NOWHERE;
}

/** Beyond that. */
export function browserStore(): Store {
  return attempt(() => localStorage) ?? NOWHERE;
}
