import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { answerText, citationText } from '../../src/lib/copy.ts';
import { bytes, duration, timeLeft } from '../../src/lib/format.ts';
import type { Answer } from '../../src/lib/wire.ts';
import { t } from '../../src/messages/index.ts';

test('sizes and times', () => {
  assert.deepEqual([0, 999, 1000, 9_940, 9_960, 999_600, 1_500_000].map(bytes), [
    '0 B',
    '999 B',
    '1.0 kB',
    '9.9 kB',
    '10 kB',
    '1.0 MB',
    '1.5 MB',
  ]);
  assert.deepEqual([0.04, 9.9, 12.4, 200, 3900].map(duration), ['0.0 s', '9.9 s', '12 s', '3 min 20 s', '1 h 5 min']);
  assert.deepEqual([3, 41, 100, 7200].map(timeLeft), [
    'a few seconds left',
    'about 50 s left',
    'about 2 min left',
    'about 2 h left',
  ]);
});

test('names of citation marks', () => {
  assert.equal(t.answer.mark(2, 14, true), 'source 2, page 14, verified');
  assert.equal(t.answer.mark(2, 14, false), 'source 2, page 14');
});

test('what is copied says where it stands', () => {
  const citation = {
    marker: 1,
    document: 'd',
    name: 'lease.pdf',
    page: 2,
    place: null,
    start: 0,
    end: 4,
    quote: 'Rent',
    boxes: [],
    verified: true,
  };
  assert.equal(citationText(citation), '“Rent” (lease.pdf, page 2)');
  assert.equal(citationText({ ...citation, place: 'Sheet1!B7' }), '“Rent” (lease.pdf, page 2, Sheet1!B7)');
  const answer = {
    answer: 'EUR 84,000 [1].',
    citations: [citation],
    question: 'How much?',
    audit: 12,
  } as unknown as Answer;
  assert.equal(
    answerText(answer),
    'EUR 84,000 [1].\n\n[1] “Rent” (lease.pdf, page 2)\n\nQuestion: How much?\nReceipt 12',
  );
});

test('the four states have words of their own', () => {
  const titles = (['answered', 'related', 'nothing', 'unread'] as const).map((state) => t.outcome(state).title);
  assert.equal(new Set(titles).size, 4);
});

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : [path];
  });
}

// What the page's policy would refuse, or what would let a document write into the page.
const FORBIDDEN: [RegExp, string][] = [
  [/\{@html/, 'raw HTML'],
  [/\b(inner|outer)HTML\b|insertAdjacentHTML|document\.write/, 'raw HTML'],
  [/\sstyle="/, 'a literal style attribute'],
  [/\beval\(|new Function\(/, 'code from text'],
  [/https?:\/\//, 'an address of another machine'],
  [/localStorage|sessionStorage|indexedDB|document\.cookie/, 'storage in the browser'],
];

test('the sources hold nothing that the policy of the page refuses', () => {
  const files = sources('src').filter((path) => /\.(ts|svelte|css)$/.test(path));
  assert.ok(files.length > 30);
  for (const path of files) {
    const text = readFileSync(path, 'utf8');
    // One file keeps numbers of receipts and ids of collections, and says so.
    const held = FORBIDDEN.filter(([, what]) => what !== 'storage in the browser' || !path.endsWith('lib/remember.ts'));
    for (const [pattern, what] of held) assert.doesNotMatch(text, pattern, `${path} holds ${what}`);
  }
});
