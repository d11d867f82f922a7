// The shapes that the server sends, as docs/plan/http.md and the OpenAPI document describe them.

export type Role = 'administrator' | 'auditor' | 'member';
export type Level = 'read' | 'write' | 'manage';

/** Page from 1, then left, top, right, bottom in PDF points from the page's top left corner. */
export type Box = [page: number, x0: number, y0: number, x1: number, y1: number];

export interface Fault {
  code: string;
  message: string;
}

export interface Gap {
  page: number;
  reason: string;
}

export interface User {
  id: string;
  name: string;
  role: Role;
}

export interface Session {
  user: User;
  csrf: string;
}

export interface UserRow extends User {
  disabled: boolean;
  created: string;
}

export interface KeyRow {
  id: string;
  user?: string;
  label: string;
  created: string;
  last_used: string | null;
}

export interface Collection {
  id: string;
  name: string;
  documents: number;
  pages: number;
  unread: number;
  level: Level;
}

export interface Grant {
  user: string;
  name: string;
  level: Level;
}

export type DocumentStatus = 'queued' | 'reading' | 'indexing' | 'ready' | 'partial' | 'failed';

export interface Document {
  id: string;
  name: string;
  collection: string;
  status: DocumentStatus;
  bytes: number;
  pages: number;
  passages: number;
  format: string;
  title: string | null;
  version: number;
  added: string;
  gaps: Gap[];
  error: Fault | null;
  job: string | null;
}

export interface LedgerRow {
  page: number;
  outcome: string;
  reason: string | null;
  words: number;
  /** What was read with faults, or repaired. */
  problem?: string | null;
  problems?: string[];
}

export interface Version {
  version: number;
  sha256: string;
  added: string;
  /** When it became the one that is searched; null if it never was. */
  since: string | null;
  format: string;
  pages: number;
}

export interface DocumentDetail extends Document {
  ledger: LedgerRow[];
  versions: Version[];
  names: string[];
}

export type JobState =
  | 'queued'
  | 'reading'
  | 'embedding'
  | 'indexing'
  | 'ready'
  | 'partial'
  | 'failed'
  | 'cancelled'
  | 'duplicate';

export interface Job {
  id: string;
  document: string;
  name: string;
  collection: string;
  state: JobState;
  page: number;
  pages: number | null;
  seconds: number;
  seconds_left: number | null;
  error: Fault | null;
  gaps: Gap[];
}

export type UploadStatus = 'queued' | 'unchanged' | 'duplicate' | 'updated' | 'failed';

export interface UploadItem {
  name: string;
  status: UploadStatus;
  document: string | null;
  job: string | null;
  duplicate_of: string | null;
  error: Fault | null;
}

export interface Block {
  kind: string;
  level: number;
  start: number;
  end: number;
}

export interface PageView {
  page: number;
  place: string | null;
  width: number;
  height: number;
  text: string;
  /** Offset of the page in the document's canonical text, in Unicode scalar values. */
  start: number;
  words: [number, number, number, number, number, number][];
  blocks: Block[];
}

export interface Passage {
  rank: number;
  score: number;
  document: string;
  name: string;
  /** The version that was searched; 0 in a receipt that does not tell. */
  version: number;
  page: number;
  place: string | null;
  start: number;
  end: number;
  text: string;
  heading_path: string[];
  boxes: Box[];
}

export interface Citation {
  marker: number;
  document: string;
  name: string;
  /** The version that the quote was made from; null in a receipt that does not tell. */
  version: number | null;
  page: number;
  place: string | null;
  start: number;
  end: number;
  quote: string;
  boxes: Box[];
  /** Whether the quote stands at its place in that version. */
  verified: boolean;
}

export interface UnreadPage {
  document: string;
  name: string;
  /** From 1; 0 when the whole document could not be read. */
  page: number;
  reason: string;
}

export interface Coverage {
  documents: number;
  pages: number;
  unread: UnreadPage[];
}

export type AnswerState = 'answered' | 'related' | 'nothing' | 'unread';

export interface Answer {
  answer: string;
  state: AnswerState;
  abstained: boolean;
  citations: Citation[];
  withheld: number;
  passages: Passage[];
  coverage: Coverage;
  timings: {
    retrieve_ms: number;
    first_token_ms: number;
    total_ms: number;
    prompt_tokens: number;
    cached_tokens: number;
    new_tokens: number;
  };
  model: { name: string; sha256: string };
  audit: number;
  question: string;
}

export interface SearchResult {
  passages: Passage[];
  milliseconds: number;
  coverage: Coverage;
}

export interface AuditRecord {
  seq: number;
  time: string;
  actor: string;
  action: string;
  object: string;
  outcome: string;
  detail: unknown;
  hash: string;
}

export interface AuditPage {
  records: AuditRecord[];
  next: number | null;
  head: string;
}

export interface AuditVerdict {
  ok: boolean;
  records: number;
  first: number | null;
  last: number | null;
  head: string;
  signed_by: string;
  bad: { seq: number | null; why: string } | null;
}

export interface Model {
  id: string;
  role: string;
  architecture: string;
  quantisation: string;
  licence: string;
  context: number;
  bytes: number;
  present: boolean;
  active: boolean;
  memory_bytes: number | null;
  fits: boolean | null;
}

export interface ModelStatus {
  id: string;
  state: 'ready' | 'loading' | 'missing' | 'failed';
  detail: string | null;
}

export interface Status {
  version: string;
  generator: ModelStatus;
  embedder: ModelStatus;
  documents: number;
  passages: number;
  edition: number;
  disk_free_bytes: number | null;
  collections: number;
  examples: { collection: string; question: string }[];
}

export interface Readiness {
  ready: boolean;
  checks: { name: string; ok: boolean; detail: string }[];
}
