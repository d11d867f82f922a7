import assert from 'node:assert/strict';
import test from 'node:test';
import { fitScale, placeBoxes, scrollTarget } from '../../src/lib/geometry.ts';

const A4 = { width: 595, height: 842 };

test('boxes of the page are scaled with a margin of one point', () => {
  const shown = { width: 1190, height: 1684 };
  assert.deepEqual(placeBoxes([[2, 72, 100, 172, 112]], 2, A4, shown), [
    { left: 142, top: 198, width: 204, height: 28 },
  ]);
});

test('boxes of other pages and boxes without sense are left out', () => {
  const boxes: [number, number, number, number, number][] = [
    [1, 0, 0, 10, 10],
    [2, Number.NaN, 0, 10, 10],
    [2, 700, 900, 800, 950],
    [2, 30, 30, 20, 20],
  ];
  assert.deepEqual(placeBoxes(boxes, 2, A4, A4), [{ left: 19, top: 19, width: 12, height: 12 }]);
  assert.deepEqual(placeBoxes(boxes, 2, { width: 0, height: 0 }, A4), []);
});

test('boxes never leave the page', () => {
  for (const box of placeBoxes([[1, -50, -50, 9999, 9999]], 1, A4, A4)) {
    assert.deepEqual(box, { left: 0, top: 0, width: 595, height: 842 });
  }
});

test('a highlight is put into the upper third, a tall one at its start', () => {
  assert.equal(scrollTarget(1000, 1020, 600), 800);
  assert.equal(scrollTarget(1000, 1600, 600), 976);
  assert.equal(scrollTarget(10, 20, 600), 0);
});

test('a page fills the room within bounds', () => {
  assert.equal(fitScale(600, 1200), 2);
  assert.equal(fitScale(10, 1200), 4);
  assert.equal(fitScale(60000, 600), 0.25);
  assert.equal(fitScale(0, 600), 1);
});
