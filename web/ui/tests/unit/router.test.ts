import assert from 'node:assert/strict';
import test from 'node:test';
import { formatRoute, parseRoute, type Route } from '../../src/lib/router.ts';

const ROUTES: [string, Exclude<Route, { view: 'missing' }>][] = [
  ['#/', { view: 'desk', collection: null }],
  ['#/collections/abc_9-z', { view: 'desk', collection: 'abc_9-z' }],
  ['#/answers/17', { view: 'answer', audit: 17 }],
  ['#/documents/d1?page=4', { view: 'document', document: 'd1', page: 4, start: null, end: null, version: null }],
  [
    '#/documents/d1?page=4&start=10&end=20&version=2',
    { view: 'document', document: 'd1', page: 4, start: 10, end: 20, version: 2 },
  ],
  ['#/audit', { view: 'audit' }],
  ['#/people', { view: 'people' }],
  ['#/status', { view: 'status' }],
  ['#/account', { view: 'account' }],
];

test('every route is written as it is read', () => {
  for (const [text, route] of ROUTES) {
    assert.deepEqual(parseRoute(text), route, text);
    assert.equal(formatRoute(route), text);
  }
});

test('what is not a route is missing, never another route', () => {
  for (const text of [
    '#/nowhere',
    '#/answers/x',
    '#/answers/-1',
    '#/answers/1/2',
    '#/collections/a b',
    '#/audit/1',
    '#/documents/<b>',
  ]) {
    assert.equal(parseRoute(text).view, 'missing', text);
  }
});

test('an empty address is the desk, a page below one is the first', () => {
  assert.deepEqual(parseRoute(''), { view: 'desk', collection: null });
  const route = parseRoute('#/documents/d1?page=0&start=1e9');
  assert.deepEqual(route, { view: 'document', document: 'd1', page: 1, start: null, end: null, version: null });
});
