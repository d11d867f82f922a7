import assert from 'node:assert/strict';
import test from 'node:test';
import { pieces, renderAnswer } from '../../src/lib/render.ts';

const text = (value: string) => ({ kind: 'text' as const, text: value });
const mark = (marker: number) => ({ kind: 'mark' as const, marker });

test('marks are found in all their forms', () => {
  assert.deepEqual(pieces('Ends on 31 March 2033 [1].'), [text('Ends on 31 March 2033'), mark(1), text('.')]);
  assert.deepEqual(pieces('a[1][2]b'), [text('a'), mark(1), mark(2), text('b')]);
  assert.deepEqual(pieces('a [1, 3; 12] b'), [text('a'), mark(1), mark(3), mark(12), text(' b')]);
});

test('brackets that are no marks stay text', () => {
  for (const value of ['[a]', '[]', '[1234]', '[1', 'see [sic]', '[1.2]'])
    assert.deepEqual(pieces(value), [text(value)]);
});

test('paragraphs and lists', () => {
  assert.deepEqual(renderAnswer('One\nline [1].\n\nTwo:\n- a [2]\n- b\n\n1. x\n2) y\nlast'), [
    { kind: 'paragraph', pieces: [text('One line'), mark(1), text('.')] },
    { kind: 'paragraph', pieces: [text('Two:')] },
    { kind: 'list', ordered: false, first: 1, items: [[text('a'), mark(2)], [text('b')]] },
    { kind: 'list', ordered: true, first: 1, items: [[text('x')], [text('y')]] },
    { kind: 'paragraph', pieces: [text('last')] },
  ]);
});

test('a list may start at another number, with empty lines between', () => {
  assert.deepEqual(renderAnswer('3. c\n\n4. d'), [
    { kind: 'list', ordered: true, first: 3, items: [[text('c')], [text('d')]] },
  ]);
});

test('mark-up of any kind stays text', () => {
  const hostile = '<img src=x onerror=alert(1)> [x](javascript:alert(1)) **b** `c`';
  assert.deepEqual(renderAnswer(hostile), [{ kind: 'paragraph', pieces: [text(hostile)] }]);
});

test('no character of the text is lost but the space before marks', () => {
  const value = 'Rent is EUR 84,000 [1], due monthly [2][3]; see 4.1.';
  const [block] = renderAnswer(value);
  assert.ok(block?.kind === 'paragraph');
  const again = block.pieces.map((piece) => (piece.kind === 'text' ? piece.text : `[${piece.marker}]`)).join('');
  assert.equal(again, value.replaceAll(' [', '['));
});

test('an empty answer has no blocks', () => {
  assert.deepEqual(renderAnswer(' \n\n'), []);
});
