import assert from 'node:assert/strict';
import test from 'node:test';
import { forgetKept, keepCollection, lastCollection, readKept, type Store, writeKept } from '../../src/lib/remember.ts';

function store(): Store & { held: Map<string, string> } {
  const held = new Map<string, string>();
  return {
    held,
    getItem: (key) => held.get(key) ?? null,
    setItem: (key, value) => void held.set(key, value),
    removeItem: (key) => void held.delete(key),
  };
}

test('receipts are kept for their user alone, until they are forgotten', () => {
  const place = store();
  writeKept(place, { user: 'u1', shown: 7, answers: [7, 3] });
  assert.deepEqual(readKept(place, 'u1'), { user: 'u1', shown: 7, answers: [7, 3] });
  assert.deepEqual(readKept(place, 'u2'), { user: 'u2', shown: null, answers: [] });
  forgetKept(place);
  assert.equal(place.held.size, 0);
  assert.deepEqual(readKept(place, 'u1').answers, []);
});

test('what is not in order counts as nothing', () => {
  const place = store();
  for (const text of ['{', 'null', '5', '{"user":"u1"}', '{"user":"u1","shown":"x","answers":["a",-1,1.5]}']) {
    place.held.set('cloister.answers', text);
    assert.deepEqual(readKept(place, 'u1'), { user: 'u1', shown: null, answers: [] }, text);
  }
});

test('a browser that keeps nothing does no harm', () => {
  const refuse = () => {
    throw new Error('refused');
  };
  const place: Store = { getItem: refuse, setItem: refuse, removeItem: refuse };
  writeKept(place, { user: 'u1', shown: 7, answers: [7] });
  forgetKept(place);
  keepCollection(place, 'u1', 'c1');
  assert.deepEqual(readKept(place, 'u1').answers, []);
  assert.equal(lastCollection(place, 'u1'), null);
});

test('the last collection is kept for each user', () => {
  const place = store();
  keepCollection(place, 'u1', 'c1');
  assert.equal(lastCollection(place, 'u1'), 'c1');
  assert.equal(lastCollection(place, 'u2'), null);
});
