import assert from 'node:assert/strict';
import test from 'node:test';
import { type Sending, type Transfer, UploadQueue } from '../../src/lib/queue.ts';
import type { UploadItem } from '../../src/lib/wire.ts';

interface Started {
  transfer: Readonly<Transfer<string>>;
  progress: (bytes: number) => void;
  resolve: (item: Partial<UploadItem>) => void;
  reject: (error: unknown) => void;
  aborted: boolean;
}

function setUp(parallel = 2, most = 100) {
  const started: Started[] = [];
  const settled: string[] = [];
  const queue = new UploadQueue<string>({
    parallel,
    most,
    onChange: () => {},
    onSettled: (transfer) => settled.push(`${transfer.name} ${transfer.state}`),
    send: (transfer, progress): Sending => {
      let resolve: Started['resolve'] = () => {};
      let reject: Started['reject'] = () => {};
      const done = new Promise<UploadItem>((yes, no) => {
        resolve = (item) =>
          yes({
            name: transfer.name,
            status: 'queued',
            document: 'd',
            job: 'j',
            duplicate_of: null,
            error: null,
            ...item,
          });
        reject = no;
      });
      const one: Started = { transfer, progress, resolve, reject, aborted: false };
      started.push(one);
      return {
        done,
        abort: () => {
          one.aborted = true;
          reject(Object.assign(new Error('aborted'), { code: 'cancelled' }));
        },
      };
    },
  });
  return { queue, started, settled };
}

const files = (...names: string[]) => names.map((name) => ({ name, size: 10, file: name }));
const turn = () => new Promise((resolve) => setImmediate(resolve));
const states = (queue: UploadQueue<string>) => queue.transfers.map((one) => `${one.name} ${one.state}`);
function at(started: Started[], index: number): Started {
  const one = started[index];
  assert.ok(one, `upload ${index} was not started`);
  return one;
}

test('so many are sent at a time, in order', async () => {
  const { queue, started, settled } = setUp();
  assert.equal(queue.add('c', files('a', 'b', 'c')), 0);
  assert.deepEqual(states(queue), ['a sending', 'b sending', 'c waiting']);
  at(started, 0).resolve({});
  await turn();
  assert.deepEqual(states(queue), ['b sending', 'c sending']);
  assert.deepEqual(settled, ['a received']);
});

test('progress is kept and never above the size', () => {
  const { queue, started } = setUp();
  queue.add('c', files('a'));
  at(started, 0).progress(400);
  assert.equal(queue.transfers[0]?.sent, 10);
});

test('a failure stays, says why, and can be tried again', async () => {
  const { queue, started } = setUp(1);
  queue.add('c', files('a', 'b'));
  at(started, 0).reject(Object.assign(new Error('no room'), { code: 'disk_full' }));
  await turn();
  assert.deepEqual(states(queue), ['a failed', 'b sending']);
  assert.deepEqual(queue.transfers[0]?.error, { code: 'disk_full', message: 'no room' });
  queue.again(queue.transfers[0]?.key ?? 0, false);
  assert.deepEqual(states(queue), ['a waiting', 'b sending']);
  at(started, 1).resolve({ status: 'failed', error: { code: 'empty', message: 'nothing in it' } });
  await turn();
  assert.deepEqual(states(queue), ['a sending', 'b failed']);
});

test('a duplicate stays and can be kept as a document of its own', async () => {
  const { queue, started } = setUp();
  queue.add('c', files('a'));
  at(started, 0).resolve({ status: 'duplicate', duplicate_of: 'old.pdf' });
  await turn();
  assert.equal(queue.transfers[0]?.duplicateOf, 'old.pdf');
  queue.again(queue.transfers[0]?.key ?? 0, true);
  assert.equal(at(started, 1).transfer.keepDuplicate, true);
});

test('cancelling aborts, forgets, and lets the next one go', async () => {
  const { queue, started, settled } = setUp(1);
  queue.add('c', files('a', 'b'));
  queue.remove(queue.transfers[0]?.key ?? 0);
  await turn();
  assert.equal(at(started, 0).aborted, true);
  assert.deepEqual(states(queue), ['b sending']);
  assert.deepEqual(settled, []);
});

test('a file that is being sent is not sent twice', () => {
  const { queue, started } = setUp();
  queue.add('c', files('a'));
  queue.again(queue.transfers[0]?.key ?? 0, false);
  assert.equal(started.length, 1);
});

test('what is more than the queue holds is refused and counted', () => {
  const { queue } = setUp(1, 3);
  assert.equal(queue.add('c', files('a', 'b', 'c', 'd', 'e')), 2);
  assert.equal(queue.transfers.length, 3);
});

test('clearing aborts everything', async () => {
  const { queue, started } = setUp();
  queue.add('c', files('a', 'b', 'c'));
  queue.clear();
  await turn();
  assert.equal(queue.transfers.length, 0);
  assert.deepEqual(
    started.map((one) => one.aborted),
    [true, true],
  );
});

test('all uploads of a collection are cancelled, notes and other collections stay', async () => {
  const { queue, started } = setUp(2);
  queue.add('c', files('a'));
  at(started, 0).reject(Object.assign(new Error('no room'), { code: 'disk_full' }));
  await turn();
  queue.add('c', files('b', 'c', 'd'));
  queue.add('other', files('e'));
  assert.equal(queue.busy, true);
  assert.equal(queue.cancel('c'), 3);
  await turn();
  assert.deepEqual(
    started.map((one) => one.aborted),
    [false, true, true, false],
  );
  assert.deepEqual(states(queue), ['a failed', 'e sending']);
  at(started, 3).resolve({});
  await turn();
  assert.equal(queue.busy, false);
  assert.equal(queue.cancel('c'), 0);
});

test('a file takes away what was said of an earlier one of its name, and may become a version', async () => {
  const { queue, started } = setUp();
  queue.add('c1', files('a.txt', 'b.txt'));
  at(started, 0).resolve({ status: 'unchanged' });
  at(started, 1).resolve({ status: 'unchanged' });
  await turn();
  queue.add('c1', files('a.txt'));
  queue.add('c2', files('b.txt'));
  assert.deepEqual(states(queue), ['b.txt unchanged', 'a.txt sending', 'b.txt sending']);
  at(started, 2).resolve({ status: 'updated' });
  await turn();
  const updated = queue.transfers.find((one) => one.state === 'updated');
  assert.equal(updated?.version, null);
  queue.became(updated?.key ?? 0, 2);
  assert.deepEqual([updated?.name, updated?.version], ['a.txt', 2]);
});
