/** Damaged GGUF files: every structural field at its limits, and many random mutations in a child with little memory. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openFully } from './open-fully.ts';
import { overwrite, recordedGguf } from './recorded-gguf.ts';

const bases = [
  recordedGguf({ version: 3 }),
  recordedGguf({ version: 2, alignment: 8 }),
  recordedGguf({ version: 3, alignment: 64, split: [0, 1] }),
];

test('the undamaged files open', async () => {
  for (const { bytes } of bases) assert.equal(await openFully(bytes), 'opened');
});

/** Fields where nothing but the true value can be right. */
const rigid =
  /^(magic|length of (key (?!split)|tensor)|key count|element count of (words|nested|scalar)|element type of words)/;

test('every structural field at 0, 1, its maximum and off by one opens or is refused', async () => {
  const outcomes = new Map<string, number>();
  for (const { bytes, fields } of bases) {
    for (const field of fields) {
      const top = 1n << BigInt(8 * field.bytes);
      const far = [31n, 32n, 53n, 63n].map((bit) => (1n << bit) % top);
      const near = [field.value - 1n, field.value + 1n, field.value * 2n];
      for (const value of new Set([0n, 1n, top - 1n, top / 2n, top / 2n - 1n, ...far, ...near])) {
        const patched = BigInt.asUintN(8 * field.bytes, value);
        if (patched === field.value) continue;
        const damaged = bytes.slice();
        overwrite(damaged, field, patched);
        const outcome = await openFully(damaged).catch((cause) => {
          throw new Error(`${field.name} = ${patched}`, { cause });
        });
        if (rigid.test(field.name)) assert.notEqual(outcome, 'opened', `${field.name} = ${patched}`);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }
  }
  assert.ok([...outcomes.values()].reduce((sum, count) => sum + count) > 3000);
  for (const outcome of ['opened', 'bad-file', 'unsupported']) assert.ok(outcomes.has(outcome), outcome);
});

test('100,000 mutations in a child with 64 MB of heap: nothing but our errors', (t) => {
  const child = fileURLToPath(new URL('./gguf-mutations.ts', import.meta.url));
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ['--max-old-space-size=64', child, '100000', '1'],
    { encoding: 'utf8', timeout: 120_000 },
  );
  assert.equal(signal, null, `the child hung or was killed\n${stderr}`);
  assert.equal(status, 0, stderr);
  const outcomes: Record<string, number> = JSON.parse(stdout);
  t.diagnostic(stdout.trim());
  assert.equal(
    Object.values(outcomes).reduce((sum, count) => sum + count),
    100_000,
  );
  for (const outcome of ['opened', 'bad-file', 'unsupported'])
    assert.ok((outcomes[outcome] ?? 0) > 100, outcome);
});
