import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { temporaryFolder } from '../../test/fixture/temporary-folder.ts';
import { call, callForJson, fable } from './fixture/call.ts';

interface Quantized {
  readonly bitsPerWeight: number;
  readonly targetBytes: number;
  readonly remarks: readonly string[];
  readonly tensors: readonly { readonly name: string; readonly to: string }[];
}

interface Compared {
  readonly perplexity: number;
  readonly against: { readonly perplexity: number; readonly meanKl: number; readonly topAgreement: number };
}

test('a model is calibrated, quantized with that, and compared with what it was', async () => {
  await using folder = await temporaryFolder();
  const [text, imatrix, out] = [
    folder.path('text.txt'),
    folder.path('imatrix.gguf'),
    folder.path('small.gguf'),
  ];
  await writeFile(
    text,
    (await readFile(new URL('../../models/fable/README.md', import.meta.url), 'utf8')).slice(0, 2500),
  );
  const windows = ['--context', '128', '--windows', '2'];
  const calibrated = await callForJson<object>([
    'calibrate',
    fable,
    '-f',
    text,
    '--imatrix',
    imatrix,
    ...windows,
  ]);
  assert.deepEqual(calibrated, { out: imatrix, tensors: 28, windows: 2, context: 128 });

  const planned = await callForJson<Quantized>([
    'quantize',
    fable,
    '--to',
    'q4_k_m',
    '--imatrix',
    imatrix,
    '--dry-run',
  ]);
  const made = await callForJson<Quantized>(['quantize', fable, out, '--to', 'q4_k_m', '--imatrix', imatrix]);
  assert.equal(made.targetBytes, planned.targetBytes);
  assert.deepEqual(
    made.tensors.map(({ name, to }) => [name, to]),
    planned.tensors.map(({ name, to }) => [name, to]),
  );
  assert.ok(made.bitsPerWeight > 5 && made.bitsPerWeight < 5.5, `${made.bitsPerWeight} bits a weight`);
  assert.match(made.remarks[0] ?? '', /quantized already/);
  const { size } = await stat(out);
  assert.ok(size > made.targetBytes && size < made.targetBytes + 200_000);

  const compare = (model: string): Promise<Compared> =>
    callForJson(['perplexity', model, '--against', fable, '-f', text, ...windows]);
  const { perplexity, against } = await compare(out);
  assert.ok(against.meanKl > 1e-4 && against.meanKl < 0.1, `KL ${against.meanKl}`);
  assert.ok(against.topAgreement > 0.75 && against.topAgreement < 1);
  assert.ok(Math.abs(perplexity / against.perplexity - 1) < 0.2);
  const itself = await compare(fable);
  assert.ok(itself.against.meanKl < 1e-12, `${itself.against.meanKl}`);
  assert.equal(itself.against.topAgreement, 1);
  assert.equal(itself.perplexity, itself.against.perplexity);
});

test('recipes are listed', async () => {
  const { code, output } = await call(['quantize', '--list']);
  assert.equal(code, 0);
  for (const name of ['q4_k_m', 'q8_0', 'iq4_nl', 'mxfp4'])
    assert.match(output, new RegExp(`^${name}\\b`, 'm'));
});

for (const signals of [['SIGINT'], ['SIGINT', 'SIGTERM']] as const) {
  test(`interrupted by ${signals.join(' and ')}: nothing half-written stays`, async () => {
    await using folder = await temporaryFolder();
    const out = folder.path('out.gguf');
    const running = call(['quantize', fable, out, '--to', 'q4_k_m', '--threads', '1', '--json'], {
      onStart: async (child) => {
        while ((await readdir(folder.path('.'))).length === 0)
          await new Promise((resolve) => setTimeout(resolve, 5));
        for (const signal of signals) child.kill(signal);
      },
    });
    const { code, output } = await running;
    // A second one ends the process at once, mostly before it says anything.
    if (signals.length === 1) assert.deepEqual([code, /"aborted"/.test(output)], [130, true]);
    else assert.ok(code === 130 || code === 143, `ended with ${code}`);
    assert.deepEqual(await readdir(folder.path('.')), []);
  });
}

const failures: readonly {
  readonly parameters: readonly string[];
  readonly code: number;
  readonly says: RegExp;
}[] = [
  { parameters: [fable, 'x.gguf'], code: 2, says: /--to/ },
  { parameters: [fable, '--to', 'q4_0'], code: 2, says: /a file to write/ },
  { parameters: [fable, 'x.gguf', '--to', 'q9_z'], code: 1, says: /'q9_z'; choose from.*q4_k_m/ },
  { parameters: [fable, fable, '--to', 'q4_0'], code: 1, says: /the source itself/ },
  {
    parameters: [fable, 'x.gguf', '--to', 'q4_0', '--tensor-type', '(=q8_0'],
    code: 2,
    says: /PATTERN=FORMAT/,
  },
  {
    parameters: [fable, 'x.gguf', '--to', 'q4_0', '--imatrix', fable],
    code: 1,
    says: /not a whole importance matrix/,
  },
  { parameters: ['/does/not/exist', 'x.gguf', '--to', 'q4_0'], code: 1, says: /No file at/ },
];

test('what cannot be quantized is refused in one line', async () => {
  await Promise.all(
    failures.map(async ({ parameters, code, says }) => {
      const outcome = await call(['quantize', ...parameters]);
      assert.equal(outcome.code, code, outcome.remarks);
      assert.match(outcome.remarks, says);
      assert.equal(outcome.remarks.trim().split('\n').length, 1, outcome.remarks);
    }),
  );
});
