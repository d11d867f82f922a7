// Which version of a document is looked at, and what became of it.

import type { DocumentDetail, Version } from './wire.ts';

/** What can be said of the version that is wanted. */
export type Shown =
  /** It is the current one. */
  | { kind: 'current' }
  /** Another has taken its place. */
  | { kind: 'replaced'; version: number; by: number; on: string; stored: Version }
  /** Its text cannot be had. */
  | { kind: 'lost'; version: number | null };

/** `wanted` is null where a quote does not tell which version it was made from, undefined where none is asked for. */
export function shownVersion(detail: DocumentDetail, wanted: number | null | undefined): Shown {
  if (wanted === undefined || wanted === detail.version) return { kind: 'current' };
  const stored = detail.versions.find((one) => one.version === wanted && one.since !== null);
  const next = detail.versions.find((one) => wanted !== null && one.version > wanted && one.since !== null);
  if (!stored || !next?.since) return { kind: 'lost', version: wanted };
  return { kind: 'replaced', version: stored.version, by: next.version, on: next.since, stored };
}
