/** `auto` follows what is measured, and says why. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openReferenceBackend } from '../backend/reference/backend.ts';
import type { Backend, BackendName } from '../backend.ts';
import { Cleanup } from '../base/cleanup.ts';
import { NearfieldError } from '../base/error.ts';
import { formatByName } from '../format.ts';
import { chooseBackend, startCandidates } from './choose-backend.ts';

/** A backend that takes so long, or does not open. */
function fake(name: string, closed: string[], emulated = false): Backend {
  const base = openReferenceBackend();
  const backend: Backend = Object.create(base);
  return Object.assign(backend, {
    describe: () => ({ ...base.describe(), backend: name, emulated }),
    close: async () => void closed.push(name),
  });
}

function candidatesOf(backends: Partial<Record<BackendName, Backend>>) {
  const opened = new Cleanup();
  return startCandidates('auto', {}, opened, async (name) => {
    const backend = backends[name];
    if (!backend) throw new NearfieldError('unsupported', 'none here');
    return backend;
  });
}

for (const [wasmMs, webgpuMs, expected] of [
  [100, 20, 'webgpu'],
  [20, 100, 'wasm'],
] as const) {
  test(`of ${wasmMs} and ${webgpuMs} ms ${expected} is chosen`, async () => {
    const closed: string[] = [];
    const candidates = candidatesOf({ wasm: fake('wasm', closed), webgpu: fake('webgpu', closed) });
    const cost: Record<string, number> = { wasm: wasmMs, webgpu: webgpuMs };
    const choice = await chooseBackend(candidates, async (backend) => cost[backend.describe().backend]);
    assert.equal(choice.name, expected);
    assert.match(choice.reason ?? '', /wasm takes \d+ ms, webgpu takes \d+ ms/);
    assert.deepEqual(closed, [expected === 'wasm' ? 'webgpu' : 'wasm']);
  });
}

test('nothing is measured where one of them does not open, or is a program', async () => {
  const measure = async () => assert.fail('measured');
  const closed: string[] = [];
  const alone = await chooseBackend(candidatesOf({ wasm: fake('wasm', closed) }), measure);
  assert.deepEqual([alone.name, alone.reason], ['wasm', 'webgpu: none here']);
  const emulated = candidatesOf({ wasm: fake('wasm', closed), webgpu: fake('webgpu', closed, true) });
  const other = await chooseBackend(emulated, measure);
  assert.equal(other.name, 'wasm');
  assert.match(other.reason ?? '', /webgpu would run on a program/);
  assert.deepEqual(closed, ['webgpu']);
});

test('what fails when it is measured is not chosen', async () => {
  const candidates = candidatesOf({ wasm: fake('wasm', []), webgpu: fake('webgpu', []) });
  const choice = await chooseBackend(candidates, async (backend) => {
    if (backend.describe().backend === 'webgpu') throw new NearfieldError('backend', 'The GPU was lost');
    return 50;
  });
  assert.equal(choice.name, 'wasm');
  assert.match(choice.reason ?? '', /webgpu failed: The GPU was lost/);
});

test("the caller's own choice fails with its own error", async () => {
  const opened = new Cleanup();
  const candidates = startCandidates('webgpu', {}, opened, async () => {
    throw new NearfieldError('unsupported', 'none here');
  });
  await assert.rejects(
    chooseBackend(candidates, async () => 1),
    { code: 'unsupported', message: 'none here' },
  );
});

test('a machine that nobody waits for any more is closed once it has started', async () => {
  const opened = new Cleanup();
  const [starting] = startCandidates('wasm', { threads: 1 }, opened);
  await opened.close();
  const machine = await starting?.opening;
  const pack = machine?.pack({ format: formatByName('f32'), shape: [16, 16] }, async () => {});
  await assert.rejects(async () => pack, { code: 'backend', message: /closed/ });
});

test('a machine that does not start is the business of who awaits it', async () => {
  const opened = new Cleanup();
  const [starting] = startCandidates('wasm', { threads: 0 }, opened);
  await opened.close();
  await assert.rejects(async () => starting?.opening, { code: 'bad-argument', message: /threads/ });
});
