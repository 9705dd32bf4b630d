/** Damaged folders of transformers, in a child with little memory: nothing but our errors. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test('4,000 damaged folders in a child with 64 MB of heap', (t) => {
  const child = fileURLToPath(new URL('./safetensors-mutations.ts', import.meta.url));
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ['--max-old-space-size=64', child, '4000', '1'],
    { encoding: 'utf8', timeout: 120_000 },
  );
  assert.equal(signal, null, `the child hung or was killed\n${stderr}`);
  assert.equal(status, 0, stderr);
  const outcomes: Record<string, number> = JSON.parse(stdout);
  t.diagnostic(stdout.trim());
  for (const outcome of ['opened', 'bad-file', 'unsupported']) {
    assert.ok((outcomes[outcome] ?? 0) > 20, outcome);
  }
});
