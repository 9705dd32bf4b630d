/** Generations over the channel, with an engine that counts: pace, leaving, closing, being busy. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NearfieldError } from '../../base/error.ts';
import { CallClient } from './call-client.ts';
import { type CallHandlers, serveCalls } from './call-host.ts';
import { engineHandlers } from './engine-handlers.ts';
import { fakeEngine } from './fixture/fake-engine.ts';
import { portPair } from './fixture/port-pair.ts';
import { RemoteSession } from './remote-session.ts';

async function open() {
  const pair = portPair();
  const fake = fakeEngine();
  const handlers: Partial<CallHandlers> = engineHandlers(async () => fake.engine);
  serveCalls(pair.port, handlers as CallHandlers);
  const client = new CallClient(pair.worker);
  await client.call('load', { input: 'model', options: {} }).answer;
  const session = new RemoteSession(client, await client.call('openSession', undefined).answer);
  return { ...fake, client, session, [Symbol.dispose]: pair.close };
}

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
};

test('all tokens arrive in order, with the result', async () => {
  using wire = await open();
  const progress: object[] = [];
  const onPrompt = (given: object) => void progress.push(given);
  const generation = wire.session.generate([7, 8], { maxTokens: 200, onPrompt });
  const ids: (number | undefined)[] = [];
  for await (const { id } of generation) ids.push(id);
  assert.deepEqual(ids, [...Array(200).keys()]);
  const { tokens, finish } = await generation.result();
  assert.deepEqual({ tokens, finish }, { tokens: ids, finish: 'length' });
  assert.deepEqual(progress, [{ doneRows: 2, totalRows: 2 }]);
});

test('result() alone runs the generation', async () => {
  using wire = await open();
  const { tokens } = await wire.session.generate([7], { maxTokens: 150 }).result();
  assert.equal(tokens.length, 150);
});

test('nothing happens before it is iterated, and it is iterated once', async () => {
  using wire = await open();
  const generation = wire.session.generate([7], { maxTokens: 5 });
  await turns(20);
  assert.equal(wire.made(), 0);
  await generation.result();
  assert.throws(() => generation[Symbol.asyncIterator](), /iterated once/);
});

test('a slow consumer holds the worker back', async () => {
  using wire = await open();
  let most = 0;
  let read = 0;
  for await (const _ of wire.session.generate([7], { maxTokens: 300 })) {
    if (read++ % 50 === 0) await turns(400);
    most = Math.max(most, wire.made() - read);
  }
  assert.equal(read, 300);
  assert.ok(most > 10 && most < 100, `${most} tokens ahead`);
});

test('leaving stops the worker and cuts the session to what was seen', async () => {
  using wire = await open();
  const generation = wire.session.generate([7, 8], { maxTokens: 5000 });
  let read = 0;
  for await (const _ of generation) {
    await turns(30);
    if (++read === 3) break;
  }
  const made = wire.made();
  assert.ok(made > 3 && made < 200, `${made} tokens made`);
  assert.deepEqual(await wire.session.tokens(), [7, 8, 0, 1, 2]);
  const { tokens, text, finish } = await generation.result();
  assert.deepEqual({ tokens, text, finish }, { tokens: [0, 1, 2], text: '0 1 2 ', finish: 'stop' });
  await turns(50);
  assert.equal(wire.made(), made);
});

test('leaving after the worker has ended by itself cuts, too', async () => {
  using wire = await open();
  for await (const { id } of wire.session.generate([7], { maxTokens: 10 })) {
    await turns(100);
    if (id === 1) break;
  }
  assert.equal(wire.made(), 10);
  assert.deepEqual(wire.timeline, [7, 0, 1]);
});

test('an abort ends the iteration without an error', async () => {
  using wire = await open();
  const controller = new AbortController();
  const generation = wire.session.generate([7], { maxTokens: 5000, signal: controller.signal });
  let read = 0;
  for await (const _ of generation) if (++read === 5) controller.abort();
  const { finish, tokens } = await generation.result();
  assert.equal(finish, 'aborted');
  assert.ok(read === tokens.length && read < 200, `${read} of ${tokens.length}`);
});

test('a session is busy until its consumer is through', async () => {
  using wire = await open();
  const busy = { name: 'NearfieldError', code: 'bad-argument', message: /busy/ };
  for await (const { id } of wire.session.generate([7], { maxTokens: 3 })) {
    if (id !== 2) continue;
    await turns(50);
    await assert.rejects(wire.session.truncate(1), busy);
    const second = wire.session.generate([7], { maxTokens: 3 });
    await assert.rejects(second.result(), busy);
  }
  assert.equal((await wire.session.generate([7], { maxTokens: 3 }).result()).tokens.length, 3);
});

test('the logits of scored rows arrive in order, each row its own', async () => {
  using wire = await open();
  const seen: [number, number[]][] = [];
  const onLogits = (row: number, logits: ArrayLike<number>) => void seen.push([row, Array.from(logits)]);
  const scores = await wire.session.score([5, 6, 7, 8], { first: 1, onLogits });
  assert.equal(scores.length, 2);
  assert.deepEqual(seen, [
    [1, [6, 6]],
    [2, [7, 7]],
  ]);
  assert.equal((await wire.session.score([5, 6])).length, 1);
});

test('closing a session ends a generation whose consumer has paused', async () => {
  using wire = await open();
  const generation = wire.session.generate([7], { maxTokens: 5000 });
  let read = 0;
  for await (const _ of generation) if (++read === 4) await wire.session.close();
  assert.equal((await generation.result()).finish, 'aborted');
  await assert.rejects(wire.session.truncate(0), /closed/);
});

test('a worker that fails ends the iteration with its error', async () => {
  using wire = await open();
  const generation = wire.session.generate([7], { maxTokens: 5000 });
  const failure = new NearfieldError('backend', 'The engine worker failed');
  let read = 0;
  await assert.rejects(async () => {
    for await (const _ of generation) if (++read === 2) await wire.client.fail(failure);
  }, failure);
  await assert.rejects(generation.result(), failure);
  await wire.session.close();
});
