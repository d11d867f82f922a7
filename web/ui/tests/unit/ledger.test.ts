import assert from 'node:assert/strict';
import test from 'node:test';
import { ledgerNotes } from '../../src/lib/ledger.ts';

const row = (page: number, outcome: string, reason: string | null = null, more = {}) => ({
  page,
  outcome,
  reason,
  words: 1,
  ...more,
});

test('pages that follow one another and share a reason are one note', () => {
  const ledger = [
    row(1, 'text'),
    row(2, 'skipped', 'a picture'),
    row(3, 'skipped', 'a picture'),
    row(4, 'failed', 'too slow'),
    row(5, 'empty'),
    row(6, 'skipped', 'a picture'),
  ];
  const notes = ledgerNotes({ ledger, gaps: [{ page: 2, reason: 'a picture' }] });
  assert.deepEqual(notes.unread, [
    { from: 2, to: 3, text: 'a picture' },
    { from: 4, to: 4, text: 'too slow' },
    { from: 6, to: 6, text: 'a picture' },
  ]);
  assert.equal(notes.unreadPages, 4);
  assert.deepEqual(notes.faults, []);
});

test('gaps are said without a ledger, and of the whole document', () => {
  const gaps = [
    { page: 0, reason: 'sealed' },
    { page: 1, reason: 'sealed' },
  ];
  const notes = ledgerNotes({ ledger: [], gaps });
  assert.deepEqual(notes.unread, [
    { from: 0, to: 0, text: 'sealed' },
    { from: 1, to: 1, text: 'sealed' },
  ]);
  assert.equal(notes.unreadPages, 1);
});

test('problems of pages that were read stand by themselves, those of others with the reason', () => {
  const ledger = [
    row(1, 'text', null, { problems: ['a font is missing', 'one picture left out'] }),
    row(2, 'text', null, { problem: null, problems: [] }),
    row(3, 'failed', null, { problem: 'its stream ends early' }),
  ];
  const notes = ledgerNotes({ ledger, gaps: [] });
  assert.deepEqual(notes.faults, [{ from: 1, to: 1, text: 'a font is missing; one picture left out' }]);
  assert.deepEqual(notes.unread, [{ from: 3, to: 3, text: 'failed; its stream ends early' }]);
  assert.equal(notes.faultPages, 1);
});
