import assert from 'node:assert/strict';
import test from 'node:test';
import { EVENT_CHARACTERS_MAX, EventParser, readEvents, type ServerEvent } from '../../src/lib/sse.ts';

const STREAM =
  ': keep-alive\r\n\r\nevent: job\r\ndata: {"a":1}\r\n\r\ndata: first\ndata: second\nid: 7\n\nevent: empty\n\nevent: token\rdata:x\r\rdata: cut';
const EVENTS: ServerEvent[] = [
  { event: 'job', data: '{"a":1}' },
  { event: 'message', data: 'first\nsecond' },
  { event: 'token', data: 'x' },
];

test('a stream gives the same events wherever it is cut', () => {
  for (let size = 1; size <= STREAM.length; size += 1) {
    const parser = new EventParser();
    const found: ServerEvent[] = [];
    for (let at = 0; at < STREAM.length; at += size) found.push(...parser.push(STREAM.slice(at, at + size)));
    assert.deepEqual(found, EVENTS, `pieces of ${size}`);
  }
});

test('an event without end is refused', () => {
  const parser = new EventParser();
  const line = `data: ${'x'.repeat(1024 * 1024)}\n`;
  assert.throws(() => {
    for (let sum = 0; sum <= EVENT_CHARACTERS_MAX; sum += line.length) parser.push(line);
  }, /too long/);
  assert.throws(() => new EventParser().push('x'.repeat(EVENT_CHARACTERS_MAX + 1)), /too long/);
});

test('a body is read across cut characters, and its pieces are counted', async () => {
  const bytes = new TextEncoder().encode('data: Müller € 𝒳\n\n');
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  let pieces = 0;
  const found: ServerEvent[] = [];
  for await (const event of readEvents(body, () => (pieces += 1))) found.push(event);
  assert.deepEqual(found, [{ event: 'message', data: 'Müller € 𝒳' }]);
  assert.equal(pieces, bytes.length);
});

test('a reader that stops early closes the body', async () => {
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode('data: x\n\n'));
    },
    cancel() {
      cancelled = true;
    },
  });
  for await (const _ of readEvents(body)) break;
  assert.equal(cancelled, true);
});
