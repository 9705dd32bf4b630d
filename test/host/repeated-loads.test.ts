/** Ten models in turn in one process, and loads that were aborted: what they held is free again. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const script = fileURLToPath(new URL('./repeated-loads.ts', import.meta.url));
const skip = existsSync(new URL('../../dist/kernels-plain-shared.wasm', import.meta.url))
  ? false
  : 'no kernels in dist/: npm run build';
const mebibyte = 2 ** 20;

/** Rounds after which the host's own allocator and the compiled code have found their size. */
const warmRounds = 4;
/** Eight engines hold several times as much, each its threads alone 20 MiB. */
const allowedBytes = 24 * mebibyte;

for (const kind of ['whole', 'aborted']) {
  test(`twelve loads in turn, ${kind}: resident memory does not grow`, { skip }, async (t) => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script, kind], {
      timeout: 60_000,
    });
    const resident = JSON.parse(stdout) as number[];
    t.diagnostic(resident.map((bytes) => (bytes / mebibyte).toFixed(0)).join(' '));
    assert.equal(resident.length, 12);
    const warm = Math.max(...resident.slice(0, warmRounds));
    assert.ok(Math.min(...resident.slice(-3)) - warm < allowedBytes);
  });
}
