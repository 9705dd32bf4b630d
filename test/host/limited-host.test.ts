/** Hosts that lack something, and loads and texts that are stopped: a fallback or a typed error, and the process ends by itself. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { LimitName, Outcome } from './limited-host.ts';

const script = fileURLToPath(new URL('./limited-host.ts', import.meta.url));
const skip = existsSync(new URL('../../dist/kernels-plain-shared.wasm', import.meta.url))
  ? false
  : 'no kernels in dist/: npm run build';

/** Rejects where the process has not ended by itself, or not with success. */
async function outcomeOn(limit: LimitName): Promise<Outcome> {
  const { stdout } = await promisify(execFile)(process.execPath, [script, limit], { timeout: 30_000 });
  return JSON.parse(stdout) as Outcome;
}

const refusals: Partial<Record<LimitName, readonly [code: string, message: RegExp]>> = {
  'no SIMD': ['unsupported', /no WebAssembly SIMD.*"reference"/],
  'no memory': ['out-of-budget', /host refused/],
  'no memory to grow': ['out-of-budget', /host refused \d+ more bytes for/],
  'a thread that throws': ['backend', /compute thread did not start.*no room here.*assets\.computeWorker/],
  'a thread that ends': ['backend', /compute thread did not start.*ended.*assets\.computeWorker/],
  'a thread that fails later': ['backend', /compute thread failed: gone/],
  'an abort while it opens': ['aborted', /Aborted/],
  'an abort while weights are read': ['aborted', /Aborted/],
  'an abort at the end of loading': ['aborted', /Aborted/],
  'an abort in a prompt': ['aborted', /Aborted/],
};

describe('a host that lacks something', { skip, concurrency: 2 }, () => {
  for (const [limit, [code, message]] of Object.entries(refusals)) {
    test(`${limit}: a typed error of one line`, async () => {
      const { error } = await outcomeOn(limit as LimitName);
      assert.deepEqual([error?.name, error?.code], ['NearfieldError', code], error?.message);
      assert.match(error?.message ?? '', message);
      assert.doesNotMatch(error?.message ?? '', /\n/);
    });
  }

  test('without shared memory, without relaxed SIMD and without a close the text is the same', async () => {
    const whole = await outcomeOn('none');
    assert.deepEqual([whole.threads, whole.finish, whole.tokens?.length], [2, 'length', 12]);
    assert.deepEqual(await outcomeOn('no shared memory'), { ...whole, threads: 1 });
    assert.deepEqual(await outcomeOn('no relaxed SIMD'), whole);
    assert.deepEqual(await outcomeOn('nothing is closed'), whole);
  });

  test('an aborted text keeps what it has', async () => {
    const { tokens, finish, error } = await outcomeOn('an abort in a text');
    assert.deepEqual([tokens?.length, finish, error], [1, 'aborted', undefined]);
  });
});
