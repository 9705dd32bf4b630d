/** The package as others install it: what it publishes, and declarations that stand on their own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { isBuilt, makeProject } from './project.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const reason = 'dist/index.js is not built: npm run build';

test('publint finds nothing', async (t) => {
  if (!isBuilt()) return t.skip(reason);
  const { messages } = await publint({ pkgDir: root, strict: true });
  assert.deepEqual(messages, []);
});

test('the declarations check in a project without Node types', async (t) => {
  if (!isBuilt()) return t.skip(reason);
  const project = await makeProject('plain');
  try {
    const options = {
      module: 'nodenext',
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable', 'dom'],
      types: [],
    };
    const compilerOptions = { ...options, strict: true, noEmit: true, exactOptionalPropertyTypes: true };
    writeFileSync(
      join(project.folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['use.ts'] }),
    );
    writeFileSync(
      join(project.folder, 'use.ts'),
      "import * as nearfield from 'nearfield';\nexport const all = nearfield;\n",
    );
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const result = spawnSync(process.execPath, [compiler, '-p', project.folder], { encoding: 'utf8' });
    assert.equal(result.stdout, '');
    assert.equal(result.status, 0);
  } finally {
    project.remove();
  }
});
