import assert from 'node:assert/strict';
import test from 'node:test';
import { isReady, rowOf, share } from '../../src/lib/rows.ts';
import type { Document, Job } from '../../src/lib/wire.ts';
import { t } from '../../src/messages/index.ts';

const DOCUMENT: Document = {
  id: 'd',
  name: 'a.pdf',
  collection: 'c',
  status: 'ready',
  bytes: 1,
  pages: 3,
  passages: 4,
  format: 'pdf',
  title: null,
  version: 1,
  added: '2026-01-01T00:00:00Z',
  gaps: [],
  error: null,
  job: null,
};
const JOB: Job = {
  id: 'j',
  document: 'd',
  name: 'a.pdf',
  collection: 'c',
  state: 'reading',
  page: 3,
  pages: 12,
  seconds: 2,
  seconds_left: 100,
  error: null,
  gaps: [],
};

test('an unfinished job speaks for its document', () => {
  const row = rowOf(DOCUMENT, JOB);
  assert.equal(row.running, true);
  assert.equal(t.documents.state(row), 'Reading page 3 of 12, about 2 min left');
  assert.equal(share(row), 0.25);
});

test('pages are counted without an end while it is not known', () => {
  const row = rowOf(DOCUMENT, { ...JOB, pages: null, seconds_left: null });
  assert.equal(t.documents.state(row), 'Reading page 3');
  assert.equal(share(row), null);
});

test('a finished job is not asked', () => {
  const document: Document = { ...DOCUMENT, status: 'partial', gaps: [{ page: 2, reason: 'scan' }] };
  const row = rowOf(document, { ...JOB, state: 'failed' });
  assert.equal(t.documents.state(row), 'Ready with gaps');
  assert.deepEqual(row.gaps, [{ page: 2, reason: 'scan' }]);
});

test('a document that was stopped says so', () => {
  const document: Document = {
    ...DOCUMENT,
    status: 'failed',
    passages: 0,
    error: { code: 'cancelled', message: 'stopped' },
  };
  assert.equal(rowOf(document, undefined).state, 'cancelled');
  assert.equal(isReady(document), false);
});

test('a new version being read leaves the old one to be asked', () => {
  assert.equal(isReady({ ...DOCUMENT, status: 'reading' }), true);
  assert.equal(isReady({ ...DOCUMENT, status: 'reading', passages: 0 }), false);
});
