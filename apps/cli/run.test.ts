import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Engine, type SpeculationStats, type StreamingReport } from '../../src/index.ts';
import { temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import { call, callForJson, fable, fableDraft } from './fixture/call.ts';

interface RunReport {
  readonly prompt: string;
  readonly text: string;
  readonly promptTokens: readonly number[];
  readonly tokens: readonly number[];
  readonly timings: Readonly<Record<string, number>>;
  readonly memory: Readonly<Record<string, number>>;
  readonly backend: string;
  readonly threads: number;
  readonly streaming?: StreamingReport;
  readonly decoder: {
    readonly name: string;
    readonly seed: number;
    readonly finish: string;
    readonly proposed: number;
    readonly passesPerToken: number;
    readonly speculation?: SpeculationStats & {
      readonly acceptedPerVerification: number;
      readonly treeSize: number;
    };
  };
  readonly logprobs?: readonly (readonly { readonly id: number; readonly logprob: number }[])[];
}

const prompt = 'Once upon a time';
const greedy = ['--temp', '0', '-n', '12', '-p', prompt];
const run = (...parameters: string[]) => callForJson<RunReport>(['run', ...parameters]);

test('the object of --json: its keys, their types, and what the engine says', async () => {
  const report = await run(...greedy, '--threads', '2');
  assert.deepEqual(Object.keys(report), [
    ...['prompt', 'text', 'promptTokens', 'tokens', 'timings', 'memory', 'backend', 'threads', 'decoder'],
  ]);
  const { timings, memory } = report;
  const timingKeys = ['loadMs', 'prefillMs', 'prefillTokensPerSecond', 'decodeMs', 'decodeTokensPerSecond'];
  assert.deepEqual(Object.keys(timings), timingKeys);
  assert.deepEqual(Object.keys(memory), ['weightsBytes', 'kvCacheBytes', 'arenaBytes', 'peakRssBytes']);
  for (const value of [...Object.values(timings), ...Object.values(memory)]) assert.ok(value > 0);
  assert.deepEqual([report.prompt, report.backend, report.threads], [prompt, 'wasm', 2]);
  assert.equal(report.decoder.finish, 'length');

  await using engine = await Engine.load(fable);
  await using session = await engine.session();
  const { text, tokens, promptTokens } = await session.generate(prompt, { maxTokens: 12 }).result();
  const { text: said, tokens: ids, promptTokens: promptIds } = report;
  assert.deepEqual({ text: said, tokens: ids, promptTokens: promptIds }, { text, tokens, promptTokens });
});

test('exact ids are fed as they are; log-probabilities come for each token', async () => {
  const ids = [1, 1340, 654, 261, 524];
  const report = await run('--temp', '0', '-n', '5', '--prompt-ids', ids.join(','), '--logprobs', '3');
  assert.deepEqual(report.promptTokens, ids);
  assert.equal(report.logprobs?.length, 5);
  for (const [index, best] of report.logprobs?.entries() ?? []) {
    assert.equal(best.length, 3);
    assert.equal(best[0]?.id, report.tokens[index]);
    const values = best.map(({ logprob }) => logprob);
    assert.deepEqual(
      values,
      [...values].sort((a, b) => b - a),
    );
    assert.ok((values[0] ?? 1) <= 0);
  }
});

test('text streams to standard output, and nothing else', async () => {
  const { text } = await run(...greedy);
  const { code, output, remarks } = await call(['run', ...greedy]);
  assert.deepEqual({ code, output, remarks }, { code: 0, output: `${text}\n`, remarks: '' });
});

test('a prompt may come from a file or a pipe; a last newline is not part of it', async () => {
  await using folder = await temporaryFolder();
  const path = folder.path('prompt.txt');
  await writeFile(path, `${prompt}\n`);
  const parameters = ['run', '--temp', '0', '-n', '2'];
  for (const [more, input] of [
    [['-f', path], ''],
    [['-f', '-'], `${prompt}\n`],
    [[], `${prompt}\n`],
  ] as const) {
    const report = await callForJson<RunReport>([...parameters, ...more], { input });
    assert.equal(report.prompt, prompt);
  }
});

test('a seed tells what is drawn; every decoder draws the same', async () => {
  const drawn = async (...more: string[]) =>
    (await run('-p', prompt, '-n', '24', '--seed', '5', ...more)).tokens;
  const plain = await drawn('--decoder', 'plain');
  assert.deepEqual(await drawn('--decoder', 'lookup'), plain);
  const cold = await drawn('--temp', '0');
  assert.notDeepEqual(cold, plain);
});

test('options reach the sampler and the loop', async () => {
  const { tokens, text } = await run(...greedy);
  const [first = 0] = tokens;
  const banned = await run(...greedy, '--logit-bias', `${first}=-inf`);
  assert.ok(!banned.tokens.includes(first));
  const word = text.trim().split(' ').at(2) ?? '';
  const stopped = await run(...greedy, '--stop', word);
  assert.equal(stopped.text, text.slice(0, text.indexOf(word)));
  assert.equal(stopped.decoder.finish, 'stop');
  const full = await run('-p', prompt, '--context', '8', '--ignore-eos', '-n', '-1');
  assert.equal(full.decoder.finish, 'context');
});

test('a bare run tells a tale; --verbose adds figures', async () => {
  const { code, output, remarks } = await call(['run', '-n', '8', '--verbose']);
  assert.equal(code, 0);
  assert.ok(output.trim().length > 0);
  assert.match(remarks, /prompt 5 tokens .*\n.*text 8 tokens/);
});

test('--trace writes what ran', async () => {
  await using folder = await temporaryFolder();
  const path = folder.path('trace.json');
  const { code } = await call(['run', ...greedy, '--trace', path]);
  assert.equal(code, 0);
  const { programs, lanes } = await readTrace(path);
  assert.ok(programs.length >= 13);
  for (const { name, dur, tid } of programs) {
    assert.deepEqual([typeof name, dur >= 0, lanes.get(tid)], ['string', true, 'target']);
  }
});

interface TraceRecord {
  readonly ph: string;
  readonly name: string;
  readonly tid: number;
  readonly dur: number;
  readonly args: { readonly name?: string };
}

async function readTrace(path: string) {
  const { traceEvents } = JSON.parse(await readFile(path, 'utf8')) as { traceEvents: TraceRecord[] };
  const named = traceEvents.filter(({ name }) => name === 'thread_name');
  return {
    programs: traceEvents.filter(({ ph }) => ph === 'X'),
    lanes: new Map(named.map(({ tid, args }) => [tid, args.name])),
  };
}

test('a draft speeds the text up and leaves it as it is; the report and the trace tell what it did', async () => {
  await using folder = await temporaryFolder();
  const path = folder.path('trace.json');
  const parameters = ['-p', prompt, '-n', '40', '--seed', '3'];
  const plain = await run(...parameters, '--decoder', 'plain');
  assert.deepEqual([plain.decoder.passesPerToken, plain.decoder.speculation], [1, undefined]);
  const draft = ['--draft', fableDraft, '--decoder', 'tree', '--fallback', 'adaptive', '--trace', path];
  const { tokens, decoder } = await run(...parameters, ...draft);
  assert.deepEqual(tokens, plain.tokens);
  assert.ok(decoder.passesPerToken < 1);
  const { verifications = 0, acceptedPerVerification = 0, treeSize, alpha } = decoder.speculation ?? {};
  assert.equal(treeSize, decoder.proposed / verifications);
  assert.ok(acceptedPerVerification > 0.1);
  assert.equal(alpha?.length, verifications);
  const { programs, lanes } = await readTrace(path);
  assert.deepEqual([...lanes.values()].slice(0, 4), ['read', 'repack', 'target', 'draft']);
  assert.deepEqual([...new Set(programs.map(({ tid }) => lanes.get(tid)))].sort(), ['draft', 'target']);
  const { remarks } = await call(['run', ...parameters, ...draft, '--verbose']);
  assert.match(remarks, /accepted per verification, trees of .*\ndraft: \d+ passes in .*\nα of late: /);
});

test('under a memory budget the text is the same; what was read is told and traced', async () => {
  await using folder = await temporaryFolder();
  const path = folder.path('trace.json');
  const plain = await run(...greedy);
  const budget = ['--memory-budget', '6MiB', '--context', '128', '--cache-folder', folder.path('cache')];
  const { tokens, streaming, memory } = await run(...greedy, ...budget, '--trace', path);
  assert.deepEqual(tokens, plain.tokens);
  assert.ok(streaming && streaming.passes > 1 && streaming.bytesRead > 1e6 && streaming.readMs > 0);
  const { weightsBytes = 0, kvCacheBytes = 0, arenaBytes = 0 } = memory;
  assert.ok(weightsBytes + kvCacheBytes + arenaBytes <= 6 * 2 ** 20);
  const { programs, lanes } = await readTrace(path);
  assert.ok(programs.some(({ tid, name }) => lanes.get(tid) === 'read' && name.startsWith('layer 0')));
  assert.ok(
    programs.some(({ tid, name }) => lanes.get(tid) === 'repack' && name === 'layer 0'),
    'packed',
  );
  assert.equal((await readdir(folder.path('cache'))).length, 1);
  const { remarks } = await call(['run', ...greedy, ...budget, '--verbose']);
  assert.match(remarks, /streamed .* MiB in \d+ passes/);
});

test('two processes that pack and read the same layers at the same time both say the text', async () => {
  await using folder = await temporaryFolder();
  const { tokens } = await run(...greedy);
  const budget = ['--memory-budget', '6MiB', '--context', '128', '--cache-folder', folder.path('cache')];
  for (const { tokens: said, streaming } of await Promise.all(
    [1, 2, 3].map(() => run(...greedy, ...budget)),
  )) {
    assert.deepEqual(said, tokens);
    assert.equal(streaming?.repairedBlocks, 0);
  }
  assert.equal((await readdir(folder.path('cache'))).length, 1);
});

test('a draft with another vocabulary is refused in one line', async () => {
  await using folder = await temporaryFolder();
  const path = folder.path('other.gguf');
  const bytes = await readFile(fableDraft);
  const piece = Buffer.from('▁king');
  bytes.write('▁kino', bytes.indexOf(piece));
  await writeFile(path, bytes);
  const { code, remarks } = await call(['run', ...greedy, '--draft', path]);
  assert.equal(code, 1);
  assert.match(remarks, /^nearfield: The draft has another vocabulary than the model: token \d+ is .*\n$/);
});

test('a prompt cache keeps the session in a file; of another model it is refused', async () => {
  await using folder = await temporaryFolder();
  const cache = folder.path('session');
  const fresh = await run(...greedy, '--prompt-cache', cache);
  const size = (await readFile(cache)).length;
  assert.ok(size > 1000);
  const again = await call(['run', ...greedy, '--prompt-cache', cache, '--verbose']);
  assert.equal(again.output, `${fresh.text}\n`);
  assert.match(again.remarks, /\(4 at hand\)/);
  const other = await call(['run', fableDraft, ...greedy, '--prompt-cache', cache]);
  assert.equal(other.code, 1);
  assert.match(
    other.remarks,
    /^nearfield: The saved session cannot be restored: it belongs to another model/,
  );
  assert.equal((await readFile(cache)).length, size);
  await writeFile(cache, (await readFile(cache)).subarray(0, 100));
  assert.match((await call(['run', ...greedy, '--prompt-cache', cache])).remarks, /cannot be restored/);
});
