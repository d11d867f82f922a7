import assert from 'node:assert/strict';
import test from 'node:test';
import { pageText, partsOf } from '../../src/lib/pagetext.ts';
import { scalarLength, unitIndex } from '../../src/lib/scalars.ts';

test('offsets count scalar values, not UTF-16 units', () => {
  assert.equal(unitIndex('a𝒳b', 2), 3);
  assert.equal(unitIndex('a𝒳b', 9), 4);
  assert.equal(scalarLength('a𝒳b'), 3);
});

const TEXT = 'Heading\n\nThe 𝒳 term ends.\n\n• one\n• two';
const BLOCKS = [
  { kind: 'heading', level: 1, start: 0, end: 7 },
  { kind: 'paragraph', level: 0, start: 9, end: 25 },
  { kind: 'list_item', level: 0, start: 27, end: 32 },
  { kind: 'list_item', level: 0, start: 33, end: 38 },
];

test('blocks are cut at the quote', () => {
  const { blocks, before, after } = pageText({ text: TEXT, start: 100, blocks: BLOCKS }, { start: 113, end: 119 });
  assert.deepEqual([before, after], [false, false]);
  assert.deepEqual(
    blocks.map((block) => block.runs.map((run) => (run.quoted ? `<${run.text}>` : run.text)).join('')),
    ['Heading', 'The <𝒳 term> ends.', '• one', '• two'],
  );
});

test('a quote across blocks is marked in each', () => {
  const { blocks } = pageText({ text: TEXT, start: 0, blocks: BLOCKS }, { start: 20, end: 30 });
  const quoted = blocks.flatMap((block) => block.runs.filter((run) => run.quoted).map((run) => run.text));
  assert.equal(quoted.join('').replaceAll('\n', ''), [...TEXT].slice(20, 30).join('').replaceAll('\n', ''));
});

test('text outside all blocks is shown too', () => {
  const { blocks } = pageText(
    { text: 'before\nblock\nafter', start: 0, blocks: [{ kind: 'paragraph', level: 0, start: 7, end: 12 }] },
    null,
  );
  assert.deepEqual(
    blocks.map((block) => block.runs.map((run) => run.text.trim()).join('')),
    ['before', 'block', 'after'],
  );
});

test('blocks that overlap show no character twice', () => {
  const blocks = [
    { kind: 'table', level: 0, start: 0, end: 10 },
    { kind: 'row', level: 0, start: 2, end: 6 },
  ];
  const shown = pageText({ text: '0123456789abc', start: 0, blocks }, { start: 4, end: 12 });
  assert.equal(shown.blocks.flatMap((block) => block.runs.map((run) => run.text)).join(''), '0123456789abc');
  assert.equal(shown.blocks.flatMap((b) => b.runs.filter((r) => r.quoted).map((r) => r.text)).join(''), '456789ab');
});

test('a long page is cut around the quote', () => {
  const text = 'x'.repeat(1000);
  const shown = pageText({ text, start: 0, blocks: [] }, { start: 500, end: 510 }, 100);
  assert.deepEqual([shown.before, shown.after], [true, true]);
  const runs = shown.blocks.flatMap((block) => block.runs);
  assert.equal(runs.map((run) => run.text).join('').length, 100);
  assert.equal(runs.find((run) => run.quoted)?.text.length, 10);
});

test('a quote of another page marks nothing', () => {
  for (const quote of [
    { start: 0, end: 50 },
    { start: 900, end: 950 },
  ]) {
    const { blocks } = pageText({ text: TEXT, start: 100, blocks: BLOCKS }, quote);
    assert.equal(
      blocks.some((block) => block.runs.some((run) => run.quoted)),
      false,
    );
    assert.equal(blocks.length, 4);
  }
});

test('rows stand in place of their table, items in lists, a quote across rows leaves the table whole', () => {
  const text = 'Rent\n\nYear\tEUR\n2024\t84,000\n\n• one\n• two\nend';
  const at = (part: string) => ({ start: text.indexOf(part), end: text.indexOf(part) + part.length });
  const blocks = [
    { kind: 'heading', level: 2, ...at('Rent') },
    { kind: 'table', level: 0, ...at('Year\tEUR\n2024\t84,000') },
    { kind: 'table_row', level: 0, ...at('Year\tEUR') },
    { kind: 'table_row', level: 0, ...at('2024\t84,000') },
    { kind: 'list_item', level: 1, ...at('• one') },
    { kind: 'list_item', level: 1, ...at('• two') },
    { kind: 'note', level: 0, ...at('end') },
  ];
  const quote = { start: text.indexOf('EUR'), end: text.indexOf('\t84') };
  const parts = partsOf(pageText({ text, start: 0, blocks }, quote).blocks);
  assert.deepEqual(
    parts.map((part) => part.kind),
    ['heading', 'table', 'list', 'aside'],
  );
  const words = (runs: { text: string; quoted: boolean }[]) =>
    runs.map((run) => (run.quoted ? `<${run.text}>` : run.text)).join('');
  const [heading, table, list] = parts;
  assert.equal(heading?.kind === 'heading' && heading.level, 2);
  assert.deepEqual(table?.kind === 'table' && table.rows.map((row) => row.map(words)), [
    ['Year', '<EUR>'],
    ['<2024>', '84,000'],
  ]);
  assert.deepEqual(list?.kind === 'list' && list.items.map((item) => words(item.runs)), ['• one', '• two']);
});

test('a table without rows has a row on each line', () => {
  const [part] = partsOf([{ kind: 'table', level: 0, runs: [{ text: 'a\tb\nc\td', quoted: false }] }]);
  assert.deepEqual(part?.kind === 'table' && part.rows.map((row) => row.map((cell) => cell[0]?.text)), [
    ['a', 'b'],
    ['c', 'd'],
  ]);
});
