/** Calls from one end of the channel to the other, on one thread. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NearfieldError } from '../../base/error.ts';
import { CallClient } from './call-client.ts';
import { type CallHandlers, serveCalls } from './call-host.ts';
import { portPair } from './fixture/port-pair.ts';

function channel(handlers: Partial<CallHandlers>) {
  const pair = portPair();
  serveCalls(pair.port, handlers as CallHandlers);
  return { ...pair, client: new CallClient(pair.worker), [Symbol.dispose]: pair.close };
}

const codeIs = (code: string) => (error: unknown) => error instanceof NearfieldError && error.code === code;

test('answers find their calls, in whatever order they come', async () => {
  const release: (() => void)[] = [];
  using wire = channel({
    tokenize: async ({ text }) => {
      if (text === 'slow') await new Promise<void>((resolve) => release.push(resolve));
      else release.pop()?.();
      return [text.length];
    },
  });
  const slow = wire.client.call('tokenize', { text: 'slow', options: {} }).answer;
  const quick = wire.client.call('tokenize', { text: 'the quick', options: {} }).answer;
  assert.deepEqual([await quick, await slow], [[9], [4]]);
});

test('errors keep code and message; what is no NearfieldError is a bug with its stack', async () => {
  using wire = channel({
    render: async () => {
      throw new NearfieldError('context-full', 'too long');
    },
    memory: async () => {
      throw new TypeError('x is undefined');
    },
  });
  await assert.rejects(wire.client.call('render', { messages: [] }).answer, {
    name: 'NearfieldError',
    code: 'context-full',
    message: 'too long',
  });
  await assert.rejects(wire.client.call('memory', undefined).answer, (error: unknown) => {
    assert.ok(error instanceof NearfieldError);
    assert.equal(error.code, 'internal');
    assert.match(error.message, /x is undefined/);
    assert.match(String(error.cause), /call-client\.test/);
    return true;
  });
});

test('an abort reaches the handler, and an aborted signal no handler at all', async () => {
  let calls = 0;
  using wire = channel({
    score: async (_, { signal }) => {
      calls++;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      throw new NearfieldError('aborted', 'Aborted by the caller');
    },
  });
  const given = { session: 1, ids: [], first: undefined, reportsLogits: false };
  const controller = new AbortController();
  const { answer } = wire.client.call('score', given, { signal: controller.signal });
  setImmediate(() => controller.abort());
  await assert.rejects(answer, codeIs('aborted'));
  await assert.rejects(
    wire.client.call('score', given, { signal: controller.signal }).answer,
    codeIs('aborted'),
  );
  assert.equal(calls, 1);
});

test('reports come before the answer; a callback that throws ends its call', async () => {
  let aborted = false;
  using wire = channel({
    load: async (_, { report, signal }) => {
      signal.addEventListener('abort', () => {
        aborted = true;
      });
      for (let loadedBytes = 1; loadedBytes <= 3; loadedBytes++) {
        report({ stage: 'weights', loadedBytes, totalBytes: 3 });
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return {} as never;
    },
  });
  const given = { input: 'model', options: {} };
  const seen: number[] = [];
  await wire.client.call('load', given, { onReport: ({ loadedBytes }) => seen.push(loadedBytes) }).answer;
  assert.deepEqual(seen, [1, 2, 3]);
  const own = new Error('of the caller');
  const thrower = () => {
    throw own;
  };
  await assert.rejects(wire.client.call('load', given, { onReport: thrower }).answer, own);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(aborted, true);
});

test('while a call takes long the client hears that the worker is there, and not afterwards', async () => {
  let release = () => {};
  using wire = channel({ memory: () => new Promise((resolve) => (release = () => resolve({} as never))) });
  let heard = 0;
  const heardTwice = new Promise<void>((resolve) => {
    wire.client.onHeard = () => ++heard === 3 && resolve();
  });
  const call = wire.client.call('memory', undefined).answer;
  // That it is ready, and twice that it is alive.
  await heardTwice;
  release();
  await call;
  const last = heard;
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(heard, last);
});

test('what cannot be cloned rejects that call only', async () => {
  using wire = channel({ tokenize: async () => [1], memory: async () => (() => {}) as never });
  const text = (() => {}) as never;
  await assert.rejects(
    wire.client.call('tokenize', { text, options: {} }).answer,
    (error) => codeIs('bad-argument')(error) && /tokenize/.test(String(error)),
  );
  await assert.rejects(wire.client.call('memory', undefined).answer, codeIs('internal'));
  assert.deepEqual(await wire.client.call('tokenize', { text: '', options: {} }).answer, [1]);
});

test('a failure rejects what is under way and what is to come, and the first one stays', async () => {
  using wire = channel({ memory: () => new Promise(() => {}) });
  const pending = wire.client.call('memory', undefined).answer;
  const rejected = assert.rejects(pending, codeIs('backend'));
  await wire.client.fail(new NearfieldError('backend', 'The worker failed'));
  await wire.client.fail(new NearfieldError('internal', 'And again'));
  await rejected;
  await assert.rejects(wire.client.call('memory', undefined).answer, codeIs('backend'));
  assert.equal(wire.client.isOpen, false);
});

test('a moved buffer is not copied', async () => {
  const bytes = new Uint8Array([1, 2, 3]);
  using wire = channel({
    save: async (_, { transfer }) => {
      transfer(bytes.buffer);
      return bytes;
    },
  });
  assert.deepEqual([...(await wire.client.call('save', { session: 1 }).answer)], [1, 2, 3]);
  assert.equal(bytes.byteLength, 0);
});
