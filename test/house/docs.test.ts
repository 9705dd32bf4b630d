/** The documents against the code: links lead somewhere, samples check and run, commands, types and families are those there are. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { capability } from '../../src/backend/wasm/capability.ts';
import * as nearfield from '../../src/index.ts';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import { resolveImport } from './imports.ts';
import { readTree, type SourceTree } from './tree.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const tree = readTree();
const readme = tree.get('README.md') ?? '';

/** Contents of fenced blocks of a language. */
const blocksOf = (text: string, language: string): string[] =>
  [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter((match) => match[1] === language)
    .map((match) => match[2] ?? '');

const withoutBlocks = (text: string): string => text.replace(/^```[\s\S]*?^```$/gm, '');

/** As GitHub makes them of headings. */
const anchorsOf = (text: string): string[] =>
  [...withoutBlocks(text).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

function brokenLinks(documents: SourceTree, exists: (path: string) => boolean): string[] {
  return [...documents].flatMap(([path, text]) => {
    if (!path.endsWith('.md')) return [];
    const targets = [...withoutBlocks(text).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? '');
    return targets
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => {
        const [file = '', anchor] = target.split('#');
        const linked = file === '' ? path : resolveImport(path, `./${file}`);
        if (linked === undefined || !exists(linked)) return true;
        return anchor !== undefined && !anchorsOf(documents.get(linked) ?? '').includes(anchor);
      })
      .map((target) => `${path} links to ${target}`);
  });
}

/** Cells of the table whose first heading is `heading`, without the two heading rows. */
function tableOf(text: string, heading: string): string[][] {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${heading} |`));
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
  return lines.slice(start + 2, end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

test('links lead somewhere', () => {
  assert.deepEqual(
    brokenLinks(tree, (path) => existsSync(join(root, path))),
    [],
  );
});

test('a link that leads nowhere is found', () => {
  const documents = new Map([
    [
      'a.md',
      '# One, two\n[b](docs/b.md) [c](docs/c.md) [up](#one-two) [far](https://example.org) [no](#three)',
    ],
    ['docs/b.md', '[a](../a.md#one-two) [x](../a.md#x)\n```\n[y](y.md)\n```\n'],
  ]);
  assert.deepEqual(
    brokenLinks(documents, (path) => documents.has(path)),
    ['a.md links to docs/c.md', 'a.md links to #three', 'docs/b.md links to ../a.md#x'],
  );
});

const samples = blocksOf(readme, 'js');

test("README's samples use what there is", async () => {
  assert.ok(samples.length >= 3);
  await using folder = await temporaryFolder();
  const files = samples.map((sample, index) => {
    writeFileSync(folder.path(`sample-${index}.mts`), sample);
    return `sample-${index}.mts`;
  });
  const compilerOptions = {
    ...{ target: 'es2024', module: 'nodenext', strict: true, noEmit: true, skipLibCheck: true },
    lib: ['es2024', 'esnext.disposable', 'dom', 'dom.iterable', 'dom.asynciterable'],
    typeRoots: [join(root, 'node_modules', '@types')],
    types: ['node'],
    paths: { nearfield: [join(root, 'src', 'index.ts')] },
    allowImportingTsExtensions: true,
  };
  writeFileSync(folder.path('tsconfig.json'), JSON.stringify({ compilerOptions, files }));
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const parameters = [compiler, '-p', folder.path('.'), '--pretty', 'false'];
  const { stdout, error } = spawnSync(process.execPath, parameters, { encoding: 'utf8' });
  assert.equal(error, undefined);
  const complaints = stdout.split('\n').filter((line) => line.includes('sample-') || /^error/.test(line));
  assert.deepEqual(complaints, []);
});

const inNode = samples.filter((sample) => sample.includes("'./node_modules/nearfield/"));

test("README's samples for Node run", async (t) => {
  if (!existsSync(join(root, 'dist', 'kernels-plain-shared.wasm')))
    return t.skip('no kernels: npm run build');
  assert.equal(inNode.length, 2);
  await using folder = await temporaryFolder();
  for (const [index, sample] of inNode.entries()) {
    const path = folder.path(`sample-${index}.mjs`);
    const entry = pathToFileURL(join(root, 'src', 'index.ts')).href;
    const text = sample
      .replace("from 'nearfield'", `from ${JSON.stringify(entry)}`)
      .replace("'./node_modules/nearfield/", `${JSON.stringify(root)} + '`);
    writeFileSync(path, text);
    const { status, stdout, stderr } = spawnSync(process.execPath, [path], { encoding: 'utf8' });
    assert.equal(stderr, '');
    assert.equal(status, 0);
    assert.ok(stdout.length > 80, stdout);
  }
});

test("README's commands and their options exist", () => {
  const lines = blocksOf(readme, 'sh')
    .flatMap((block) => block.split('\n'))
    .map((line) => line.replace(/^.* \| /, '').replace(/^npm start -- /, 'node bin/nearfield.js run '))
    .filter((line) => line.startsWith('node bin/nearfield.js '));
  const helps = new Map<string, string>();
  const helpOf = (command: string): string => {
    const program = join(root, 'apps', 'cli', 'main.ts');
    const env = { ...process.env, COLUMNS: '200' };
    const { status, stdout } = spawnSync(process.execPath, [program, command, '--help'], {
      encoding: 'utf8',
      env,
    });
    assert.equal(status, 0, `nearfield ${command}`);
    assert.match(stdout, new RegExp(`^Usage: nearfield ${command} `));
    return stdout;
  };
  for (const line of lines) {
    const [command = '', ...rest] = line
      .replace(/"[^"]*"/g, '""')
      .split(' ')
      .slice(2);
    const help = helps.get(command) ?? helpOf(command);
    helps.set(command, help);
    for (const flag of rest.filter((word) => word.startsWith('-'))) {
      assert.match(help, new RegExp(`(^|\\s)${flag}[ ,\\n]`), `nearfield ${command} ${flag}`);
    }
  }
  const listed = tableOf(readme, 'command').map(([cell = '']) => /^`(\w+)/.exec(cell)?.[1] ?? '');
  assert.deepEqual([...helps.keys()].sort(), [...listed].sort());
});

test("README's tensor types are those there are, in their sizes", () => {
  const shape = [4096, 4096];
  const expected = nearfield.formats.map((format) => {
    const packedBits = (capability.packedBytes({ format, shape }) * 8) / 4096 / 4096;
    return [
      format.name.toUpperCase(),
      String((format.blockBytes * 8) / format.blockValues),
      // Less the scale of each group of rows.
      String(Math.floor(packedBits * 64) / 64),
    ];
  });
  assert.deepEqual(
    tableOf(readme, 'type').map((row) => row.slice(0, 3)),
    expected,
  );
});

test("README's architectures are those there are", () => {
  const named = tableOf(readme, '`general.architecture`').flatMap(([cell = '']) =>
    cell.replaceAll('`', '').split(', '),
  );
  assert.deepEqual(named, nearfield.architectureNames);
});
