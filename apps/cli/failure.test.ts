import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { type TemporaryFolder, temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import { call, fable } from './fixture/call.ts';

/** Files that are no models, or not all of one. */
async function badFiles(folder: TemporaryFolder): Promise<Record<string, string>> {
  const model = await readFile(fable);
  const other = Buffer.from(model);
  // The first `llama` is the value of general.architecture.
  other.write('gamma', other.indexOf('llama'));
  const contents = {
    truncated: model.subarray(0, 3_000_000),
    'header-only': model.subarray(0, 100),
    empty: Buffer.alloc(0),
    text: Buffer.from('There was once a king.\n'),
    architecture: other,
  };
  const paths: Record<string, string> = {};
  for (const [name, bytes] of Object.entries(contents)) {
    const path = folder.path(`${name}.gguf`);
    await writeFile(path, bytes);
    paths[name] = path;
  }
  return paths;
}

interface Case {
  readonly parameters: readonly string[];
  readonly code: 1 | 2;
  readonly says: RegExp;
}

async function expectFailure({ parameters, code, says }: Case): Promise<void> {
  const outcome = await call(parameters);
  const what = parameters.join(' ');
  assert.equal(outcome.code, code, what);
  assert.match(outcome.remarks, /^nearfield: [^\n]+\n$/, what);
  assert.match(outcome.remarks, says, what);
  assert.equal(outcome.output, '', what);
}

test('a model that is none: one line that names the file, exit code 1', async () => {
  await using folder = await temporaryFolder();
  const paths = await badFiles(folder);
  const cases: [string, RegExp][] = [
    [paths.truncated ?? '', /truncated\.gguf: .*missing/],
    [paths['header-only'] ?? '', /header-only\.gguf/],
    [paths.empty ?? '', /empty\.gguf/],
    [paths.text ?? '', /text\.gguf is a text file/],
    [paths.architecture ?? '', /gamma/],
    [folder.path('absent.gguf'), /absent\.gguf/],
    [tmpdir(), /folder/],
  ];
  for (const [path, says] of cases)
    await expectFailure({ parameters: ['run', path, '-p', 'x'], code: 1, says });
  const [[truncated = '', missing = /./] = []] = cases;
  for (const command of ['chat', 'inspect', 'bench']) {
    await expectFailure({ parameters: [command, truncated], code: 1, says: missing });
  }
  await expectFailure({ parameters: ['perplexity', truncated, '-f', fable], code: 1, says: missing });
});

const failing: readonly Case[] = [
  { parameters: ['run', '-p', 'a king '.repeat(20), '--context', '8'], code: 1, says: /context 8/ },
  { parameters: ['run', '--prompt-ids', '1,4096'], code: 1, says: /4096/ },
  { parameters: ['run', '-p', 'x', '--logit-bias', '4096=1'], code: 1, says: /4096/ },
  { parameters: ['run', '-p', 'x', '--memory-budget', '1MB'], code: 1, says: /budget of 5\d{6} bytes/ },
  { parameters: ['run', '-f', '/does/not/exist'], code: 1, says: /Cannot read \/does\/not\/exist/ },
  { parameters: ['run', '-f', tmpdir()], code: 1, says: /folder/ },
  { parameters: ['run', '-p', 'x', '--trace', '/does/not/exist'], code: 1, says: /Cannot write/ },
  { parameters: ['perplexity', fable, '-f', '/does/not/exist'], code: 1, says: /Cannot read/ },
];

test('bad input: one line that says what, exit code 1', async () => {
  for (const entry of failing) await expectFailure(entry);
});

const misused: readonly Case[] = [
  { parameters: ['sing'], code: 2, says: /unknown command 'sing'/ },
  { parameters: ['run', '--loud'], code: 2, says: /unknown option '--loud'/ },
  { parameters: ['run', '--backend', 'abacus'], code: 2, says: /abacus.*wasm/ },
  { parameters: ['run', '--decoder', 'oracle'], code: 2, says: /oracle.*plain/ },
  { parameters: ['run', '--threads', '0'], code: 2, says: /from 1/ },
  { parameters: ['run', '--threads', '1.5'], code: 2, says: /whole number/ },
  { parameters: ['run', '--context', 'wide'], code: 2, says: /whole number/ },
  { parameters: ['run', '--memory-budget', '2XB'], code: 2, says: /2GiB/ },
  { parameters: ['run', '--temp', 'warm'], code: 2, says: /number/ },
  { parameters: ['run', '--top-p', '1.5'], code: 2, says: /from 0 to 1/ },
  { parameters: ['run', '--seed', '-1'], code: 2, says: /at least 0/ },
  { parameters: ['run', '--prompt-ids', '1,two'], code: 2, says: /whole number/ },
  { parameters: ['run', '--logit-bias', '5'], code: 2, says: /ID=BIAS/ },
  { parameters: ['run', '-p', 'x', '--prompt-ids', '1'], code: 2, says: /only one/ },
  { parameters: ['run', fable], code: 2, says: /prompt/ },
  { parameters: ['run', '--logprobs', '2'], code: 2, says: /--json/ },
  {
    parameters: ['bench', fable, '--prompt', '0', '--generate', '0'],
    code: 2,
    says: /nothing .* to measure/,
  },
  { parameters: ['run', 'a', 'b'], code: 2, says: /too many arguments/ },
  { parameters: ['inspect'], code: 2, says: /missing required argument/ },
  { parameters: ['perplexity', fable], code: 2, says: /--file/ },
  { parameters: ['bench'], code: 2, says: /model/ },
  { parameters: ['bench', '--shape', 'sphere'], code: 2, says: /sphere.*134m/ },
];

test('wrong usage: one line, exit code 2', async () => {
  for (const entry of misused) await expectFailure(entry);
});

test('with --json the error is an object too; --verbose adds where', async () => {
  const { code, output, remarks } = await call(['run', '/does/not/exist', '-p', 'x', '--json', '--verbose']);
  assert.equal(code, 1);
  const { error } = JSON.parse(output);
  assert.equal(error.code, 'not-found');
  assert.match(error.message, /\/does\/not\/exist/);
  assert.match(remarks, /^nearfield: .*\n(.*\n)+ +at /);
  const usage = await call(['run', '--loud', '--json']);
  assert.equal(usage.code, 2);
  assert.equal(JSON.parse(usage.output).error.code, 'usage');
});

test('without a command there is help, as an error', async () => {
  const { code, output, remarks } = await call([]);
  assert.deepEqual([code, output], [2, '']);
  assert.match(remarks, /^Usage: nearfield/);
});

test('help and version are no errors', async () => {
  const version = await call(['--version']);
  assert.match(version.output, /^\d+\.\d+\.\d+\n$/);
  for (const parameters of [['--help'], ['run', '--help'], ['help', 'bench']]) {
    const { code, output, remarks } = await call(parameters);
    assert.deepEqual([code, remarks], [0, '']);
    assert.match(output, /^Usage: nearfield/);
  }
});

const endless = ['run', '-p', 'Once', '--ignore-eos', '-n', '-1', '--context', '100000'];

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} stops a text in the middle, and the process ends`, async () => {
    const { code, output, remarks } = await call(endless, { onOutput: (child) => child.kill(signal) });
    assert.equal(code, expected);
    assert.ok(output.length > 0);
    assert.doesNotMatch(remarks, /nearfield: (?!warning)/);
  });
}

test('a reader that goes away is no error', async () => {
  const { code, remarks } = await call(endless, { onOutput: (child) => child.stdout?.destroy() });
  assert.equal(code, 0);
  assert.doesNotMatch(remarks, /EPIPE|nearfield: (?!warning)/);
});

const fullDevice = '/dev/full';

test('a result that cannot be written: one line, exit code 1', {
  skip: !existsSync(fullDevice) && `no ${fullDevice}`,
}, async () => {
  const full = await open(fullDevice, 'w');
  try {
    for (const parameters of [
      ['run', '-n', '8'],
      ['run', '-n', '2', '--json'],
      ['inspect', fable, '--no-estimate'],
    ]) {
      const { code, remarks } = await call(parameters, { output: full.fd });
      assert.deepEqual([code, remarks], [1, 'nearfield: Cannot write the result: the disk is full\n']);
    }
    const { code, output } = await call(['run', '-n', '4', '--verbose'], { remarks: full.fd });
    assert.equal(code, 0);
    assert.ok(output.endsWith('\n'));
  } finally {
    await full.close();
  }
});

test('an interrupted trace or conversation leaves no half-written file', async () => {
  await using folder = await temporaryFolder();
  const path = folder.path('trace.json');
  const { code } = await call([...endless, '--trace', path], { onOutput: (child) => child.kill('SIGINT') });
  assert.equal(code, 130);
  assert.ok(Array.isArray(JSON.parse(await readFile(path, 'utf8')).traceEvents));
  assert.deepEqual(await readdir(folder.path('')), ['trace.json']);
});
