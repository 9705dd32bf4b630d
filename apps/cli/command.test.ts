import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import {
  Engine,
  type ModelEstimate,
  type ModelInspection,
  type SpeculationEstimate,
} from '../../src/index.ts';
import { temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import type { BenchTable } from './bench-report.ts';
import { call, callForJson, fable, fableDraft } from './fixture/call.ts';

const short = ['--temp', '0', '-n', '6'];

test('chat answers every line that is piped in', async () => {
  const input = 'Tell me a tale.\n\nGo on.\n/exit\nnot heard\n';
  const { code, output } = await call(['chat', ...short, '--json'], { input });
  assert.equal(code, 0);
  const answers = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(answers.length, 2);
  for (const { role, content, tokens, finish } of answers) {
    assert.deepEqual([role, typeof content, tokens.length, finish], ['assistant', 'string', 6, 'length']);
  }
  // The second prompt begins with the first and its answer, whose rows are there already.
  assert.ok(answers[1].timings.cachedRows > 0);
  const plain = await call(['chat', ...short], { input: 'Tell me a tale.\n' });
  assert.equal(plain.output, `${answers[0].content}\n`);
});

test('chat saves, clears and loads', async () => {
  await using folder = await temporaryFolder();
  const path = folder.path('talk.json');
  const input = `Tell me a tale.\n/save ${path}\n/clear\nTell me a tale.\n/load ${path}\n/save ${path}2\n`;
  const { code, output } = await call(['chat', '--system', 'Be brief.', ...short, '--json'], { input });
  assert.equal(code, 0);
  const [first, again] = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).content);
  assert.equal(again, first);
  const { messages } = JSON.parse(await readFile(path, 'utf8'));
  assert.deepEqual(messages, [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Tell me a tale.' },
    { role: 'assistant', content: first.trim() },
  ]);
  assert.equal(await readFile(`${path}2`, 'utf8'), await readFile(path, 'utf8'));
});

test('chat: an unknown command or file ends a script with an error', async () => {
  await using folder = await temporaryFolder();
  await writeFile(folder.path('other.json'), '{"messages": [{"role": "king"}]}');
  for (const [line, says] of [
    ['/sing', /\/sing/],
    ['/save', /needs the name of a file/],
    [`/load ${folder.path('none.json')}`, /Cannot read/],
    [`/load ${folder.path('other.json')}`, /no conversation/],
  ] as const) {
    const { code, remarks } = await call(['chat'], { input: `${line}\n` });
    assert.equal(code, 1);
    assert.match(remarks, says);
  }
});

test('inspect tells file, estimate and plan', async () => {
  const { code, output } = await call(['inspect', fable, '--plan', '--tensors', '--metadata']);
  assert.equal(code, 0);
  for (const says of [
    /q8_0/,
    /fits +yes/,
    /tokens\/s/,
    /reuse saves/,
    /blk\.3\.ffn_down\.weight/,
    /llama\.block_count = 4/,
  ]) {
    assert.match(output, says);
  }
});

test('inspect --json: the estimate agrees with what a run holds', async () => {
  const parameters = ['inspect', fable, '--threads', '1', '--context', '256', '--memory-budget', '1GiB'];
  const { estimate, ...inspection } = await callForJson<ModelInspection & { estimate: ModelEstimate }>(
    parameters,
  );
  assert.deepEqual(inspection.problems, []);
  assert.deepEqual([estimate.threads, estimate.contextLength, estimate.fits], [1, 256, true]);
  const { memory } = await callForJson<{ memory: { weightsBytes: number } }>([
    'run',
    '-n',
    '1',
    '--threads',
    '1',
  ]);
  assert.equal(estimate.memory.weightsBytes, memory.weightsBytes);
  const { estimate: none } = await callForJson<{ estimate?: ModelEstimate }>([
    'inspect',
    fable,
    '--no-estimate',
  ]);
  assert.equal(none, undefined);
});

test('inspect --memory-budget tells what stays in memory and what comes from disk', async () => {
  const { output } = await call(['inspect', fable, '--memory-budget', '6MiB', '--context', '128']);
  assert.match(
    output,
    /streams +\d of 4 layers stay in memory, .* through \d slots of .* a pass; read in .*\/s/,
  );
  assert.match(output, /fits +yes/);
});

test('inspect --draft tells what drafting costs, and when it pays', async () => {
  const parameters = ['inspect', '--draft', fableDraft, fable, '--memory-budget', '9MiB', '--context', '128'];
  const { speculation } = await callForJson<{ speculation: SpeculationEstimate }>(parameters);
  assert.ok(speculation.model.bytesPerPass > 1e6 && speculation.draft.passMs > 0);
  const { output } = await call(parameters);
  assert.match(output, /speculation with .*fable-1m.*\ndraft .*\nmodel .* reads .*\npays /);
  const { code, remarks } = await call(['inspect', '--draft', `${fableDraft}.none`, fable]);
  assert.equal(code, 1);
  assert.match(remarks, /^nearfield: .*fable-1m.*none.*\n$/);
});

test('inspect shows what it can of a model it cannot run, and fails', async () => {
  await using folder = await temporaryFolder();
  const path = folder.path('gamma.gguf');
  const bytes = await readFile(fable);
  bytes.write('gamma', bytes.indexOf('llama'));
  await writeFile(path, bytes);
  const { code, output, remarks } = await call(['inspect', path]);
  assert.equal(code, 1);
  assert.match(output, /4\.2 M parameters/);
  assert.match(remarks, /^nearfield: .*gamma.*\n$/);
});

test('bench: every model, backend and number of threads, with spread and memory', async () => {
  const size = ['--prompt', '16', '--generate', '4', '--depth', '0,8', '--repeat', '2'];
  const { machine, results } = await callForJson<BenchTable>(['bench', fable, '--threads', '1,2', ...size]);
  assert.ok(machine.processorCount > 0 && machine.node === process.versions.node);
  assert.deepEqual(
    results.map(({ threads }) => threads),
    [1, 2],
  );
  for (const { speeds, memory, loadMs } of results) {
    assert.ok(loadMs > 0 && memory.peakRssBytes > memory.weightsBytes);
    const { weightsBytes, kvCacheBytes, arenaBytes, besideBytes } = memory;
    assert.equal(weightsBytes + kvCacheBytes + arenaBytes + besideBytes, memory.peakRssBytes);
    assert.ok(besideBytes > 0 && kvCacheBytes > 0);
    assert.deepEqual(
      speeds.map(({ kind, tokens, depth, runs }) => [kind, tokens, depth, runs.length]),
      [
        ['prompt', 16, 0, 2],
        ['decode', 4, 0, 2],
        ['prompt', 16, 8, 2],
        ['decode', 4, 8, 2],
      ],
    );
    for (const { median, least, most } of speeds) assert.ok(0 < least && least <= median && median <= most);
  }
  const table = await call(['bench', fable, '--prompt', '0', '--generate', '2', '--repeat', '1']);
  assert.match(table.output, /decode 2 +0 /);
});

test('bench: a model that is none takes nothing from the others', async () => {
  const size = ['--prompt', '0', '--generate', '2', '--repeat', '1', '--threads', '1'];
  const { code, output, remarks } = await call(['bench', 'none.gguf', fable, ...size]);
  assert.equal(code, 1);
  assert.match(output, /decode 2 +0 /);
  assert.match(remarks, /^nearfield: .*none\.gguf[^\n]*\n$/);
});

test('perplexity: windows begin with BOS and are scored on their second half', async () => {
  await using folder = await temporaryFolder();
  const path = folder.path('text.txt');
  const text = 'Once upon a time there was a king who had three sons. '.repeat(6);
  await writeFile(path, `${text}\n`);
  const report = await callForJson<object>(['perplexity', fable, '-f', path, '--context', '32']);

  await using engine = await Engine.load(fable);
  await using session = await engine.session();
  const ids = await engine.tokenize(text, { addSpecial: true });
  const [bos = 0] = ids;
  let [sum, tokens] = [0, 0];
  for (let start = 0; start + 32 <= ids.length; start += 32) {
    const scores = await session.score([bos, ...ids.slice(start + 1, start + 32)]);
    assert.equal(scores.length, 31);
    for (const logprob of scores.subarray(16)) {
      sum -= logprob;
      tokens++;
    }
  }
  assert.deepEqual(report, { perplexity: Math.exp(sum / tokens), tokens, context: 32 });
  const tooShort = await call(['perplexity', fable, '-f', path, '--context', '512']);
  assert.equal(tooShort.code, 1);
  assert.match(tooShort.remarks, /fewer than a window of 512/);
});
