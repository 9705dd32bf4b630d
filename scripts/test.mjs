/**
 * Runs the tests with Node's own runner, on the pinned Node, and ends with one line of totals.
 *
 *   npm test                          all of them
 *   npm test -- src/format half      only files whose path contains one of the words
 *   npm test -- --name "round trip"   only tests whose name matches the pattern
 *   npm test -- --timeout 300         seconds one test may take (120)
 *
 * Exit code 1 where a test failed, where none ran, or where nothing was heard of any test for ten minutes.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { filesUnder, rootFolder } from './sources.mjs';

const silenceLimitMs = 600_000;

/** Replaces this process by the same on the pinned Node, where that is installed and is another. */
function moveToPinnedNode() {
  const { devDependencies } = JSON.parse(readFileSync(join(rootFolder, 'package.json'), 'utf8'));
  if (process.versions.node === devDependencies.node || process.env.NEARFIELD_NODE === 'host') return;
  const binary = join(
    rootFolder,
    'node_modules',
    'node',
    'bin',
    process.platform === 'win32' ? 'node.exe' : 'node',
  );
  if (existsSync(binary)) {
    const parameters = [fileURLToPath(import.meta.url), ...process.argv.slice(2)];
    const result = spawnSync(binary, parameters, {
      stdio: 'inherit',
      env: { ...process.env, NEARFIELD_NODE: 'host' },
    });
    process.exit(result.status ?? 1);
  }
  if (!process.features.typescript) {
    process.stderr.write(
      `Node ${process.versions.node} cannot run TypeScript; run "npm install" for the pinned one\n`,
    );
    process.exit(1);
  }
}

function chosenFiles(words) {
  const all = ['src', 'apps', 'test'].flatMap((root) =>
    filesUnder(root, (path) => path.endsWith('.test.ts')),
  );
  return words.length === 0
    ? all
    : all.filter((path) => words.some((word) => path.includes(word.replace(/^\.\//, ''))));
}

/** Counts what the runner reports. A suite counts only where it failed by itself or was skipped whole. */
function openTally(stream, namesFiltered) {
  const tally = { passed: 0, failed: 0, skipped: [], missing: [] };
  const where = (data) => (data.file ? relative(rootFolder, data.file) : '');
  const isFile = (data) => data.name === data.file;
  stream.on('test:pass', (data) => {
    if (data.skip !== undefined) {
      tally.skipped.push(
        `${where(data)}: ${data.name}${typeof data.skip === 'string' ? ` (${data.skip})` : ''}`,
      );
    } else if (isFile(data)) {
      if (!namesFiltered) tally.missing.push(where(data));
    } else if (data.details.type !== 'suite' && data.todo === undefined) tally.passed++;
  });
  stream.on('test:fail', (data) => {
    const isSuite = data.details.type === 'suite';
    if (data.todo !== undefined || (isSuite && data.details.error?.failureType === 'subtestsFailed')) return;
    tally.failed++;
  });
  return tally;
}

function printTotals(tally, files) {
  const lines = [];
  for (const file of tally.missing) lines.push(`no test in ${file}`);
  if (tally.skipped.length > 0) lines.push('skipped:', ...tally.skipped.map((line) => `  ${line}`));
  const failed = tally.failed + tally.missing.length;
  if (files.length === 0) lines.push('no test file matches');
  const skipped = tally.skipped.length > 0 ? `, ${tally.skipped.length} skipped` : '';
  lines.push('', `${tally.passed} passed, ${failed} failed${skipped}`);
  process.stdout.write(`${lines.join('\n')}\n`);
  return failed > 0 || tally.passed === 0 ? 1 : 0;
}

moveToPinnedNode();
delete process.env.NEARFIELD_NODE;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { name: { type: 'string', multiple: true }, timeout: { type: 'string', default: '120' } },
});
const files = chosenFiles(positionals);
const names = values.name?.map((pattern) => new RegExp(pattern));
if (files.length === 0) process.exit(printTotals({ passed: 0, failed: 0, skipped: [], missing: [] }, files));

const silence = new AbortController();
const stream = run({
  files: files.map((path) => join(rootFolder, path)),
  cwd: rootFolder,
  concurrency: Math.min(4, Math.max(1, availableParallelism())),
  timeout: Number(values.timeout) * 1000,
  forceExit: true,
  signal: silence.signal,
  ...(names ? { testNamePatterns: names } : {}),
});
let watchdog;
const listen = () => {
  clearTimeout(watchdog);
  watchdog = setTimeout(() => {
    process.stderr.write(`no test finished within ${silenceLimitMs / 60_000} minutes; stopping\n`);
    silence.abort();
    setTimeout(() => process.exit(1), 5000);
  }, silenceLimitMs);
};
for (const event of ['test:start', 'test:pass', 'test:fail']) stream.on(event, listen);
listen();
const tally = openTally(stream, names !== undefined);
const report = stream.compose(spec);
report.pipe(process.stdout, { end: false });
report.on('end', () => {
  clearTimeout(watchdog);
  process.exitCode = printTotals(tally, files);
});
