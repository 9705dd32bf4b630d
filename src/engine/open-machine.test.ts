import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cleanup } from '../base/cleanup.ts';
import { formatByName } from '../format.ts';
import { startMachine } from './open-machine.ts';

test('a machine that nobody waits for any more is closed once it has started', async () => {
  const opened = new Cleanup();
  const starting = startMachine('wasm', { threads: 1 }, opened);
  await opened.close();
  const machine = await starting;
  const pack = machine.pack({ format: formatByName('f32'), shape: [16, 16] }, async () => {});
  await assert.rejects(pack, { code: 'backend', message: /closed/ });
});

test('a machine that does not start is the business of who awaits it', async () => {
  const opened = new Cleanup();
  const starting = startMachine('wasm', { threads: 0 }, opened);
  await opened.close();
  await assert.rejects(starting, { code: 'bad-argument', message: /threads/ });
});
