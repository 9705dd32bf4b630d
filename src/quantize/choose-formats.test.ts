import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Checkpoint, MetadataValue, TensorEntry } from '../checkpoint.ts';
import { formatByName } from '../format.ts';
import { allRecipes, type ChooseOptions, chooseFormats, recipeByName } from './choose-formats.ts';
import { fallbacks, recipes } from './recipes.ts';

/** A checkpoint of which only names, shapes and a few numbers are looked at. */
function model(
  shapes: Record<string, readonly number[]>,
  numbers: Record<string, MetadataValue> = {},
  format = 'f32',
): Checkpoint {
  const tensors = new Map(
    Object.entries(shapes).map(([name, shape]): [string, TensorEntry] => {
      return [name, { name, format: formatByName(format), shape, byteLength: 0, part: 0, byteOffset: 0 }];
    }),
  );
  const entries = new Map<string, MetadataValue>(
    Object.entries({ block_count: 8, ...numbers }).map(([key, value]) => [`llama.${key}`, value]),
  );
  return { tensors, metadata: { entries, string: () => 'llama' } } as unknown as Checkpoint;
}

function chosen(checkpoint: Checkpoint, recipe: string, options?: ChooseOptions): Record<string, string> {
  const { tensors } = chooseFormats(checkpoint, recipeByName(recipe), options);
  return Object.fromEntries(tensors.map(({ entry, format }) => [entry.name, format.name]));
}

test('every format that a recipe names can be written, and names are distinct', () => {
  const names = recipes.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  assert.equal(new Set(names).size, names.length);
  const fileTypes = recipes.map(({ fileType }) => fileType);
  assert.equal(new Set(fileTypes).size, fileTypes.length);
  for (const { name, format, rules } of recipes) {
    for (const wanted of [format, ...rules.map((rule) => rule.format)]) {
      assert.ok(formatByName(wanted).encode, `${name}: ${wanted}`);
    }
  }
  for (const [format, others] of Object.entries(fallbacks)) {
    assert.ok(formatByName(format));
    assert.equal(
      formatByName(others.at(-1) ?? '').blockValues,
      1,
      `the last fallback of ${format} fits every row`,
    );
  }
});

test('a format that no recipe is named after makes one; what nothing is named after is refused', () => {
  assert.equal(recipeByName('MXFP4').format, 'mxfp4');
  assert.equal(recipeByName('Q4_K').name, 'q4_k_m');
  assert.ok(allRecipes().some(({ name }) => name === 'mxfp4'));
  assert.throws(() => recipeByName('q9_z'), { code: 'unsupported', message: /q9_z.*q4_k_m/ });
});

test('delicate tensors get more bits in the first and last eighth and every third layer between', () => {
  const shapes = Object.fromEntries(
    Array.from({ length: 16 }, (_, layer) => [`blk.${layer}.ffn_down.weight`, [8, 256]]),
  );
  const formats = Object.values(chosen(model(shapes, { block_count: 16 }), 'q4_k_m'));
  const more = [...formats.keys()].filter((layer) => formats[layer] === 'q6_k');
  assert.deepEqual(more, [0, 1, 4, 7, 10, 13, 14, 15]);
});

const block = {
  'blk.0.attn_q.weight': [256, 256],
  'blk.0.attn_v.weight': [64, 256],
  'blk.0.attn_output.weight': [256, 256],
  'blk.0.ffn_down.weight': [256, 512],
  'blk.0.ffn_gate_exps.weight': [8, 512, 256],
  'blk.0.attn_norm.weight': [256],
  'blk.0.ffn_gate_inp.weight': [8, 256],
};

test('rules ask for heads in a group, experts, stacks and an importance matrix', () => {
  const grouped = { 'attention.head_count': 32, 'attention.head_count_kv': 8 };
  assert.equal(chosen(model(block, grouped), 'q2_k')['blk.0.attn_v.weight'], 'q4_k');
  assert.equal(chosen(model(block), 'q2_k')['blk.0.attn_v.weight'], 'q3_k');
  const mixtral = chosen(model(block, { expert_count: 8 }), 'q4_k_m');
  assert.deepEqual([mixtral['blk.0.attn_v.weight'], mixtral['blk.0.attn_output.weight']], ['q8_0', 'q5_k']);
  const stacked = chosen(model(block), 'mxfp4_moe');
  assert.deepEqual(
    [stacked['blk.0.ffn_gate_exps.weight'], stacked['blk.0.attn_q.weight']],
    ['mxfp4', 'q8_0'],
  );
  assert.equal(chosen(model(block), 'q4_0', { hasImatrix: true })['blk.0.ffn_down.weight'], 'q4_1');
  assert.equal(chosen(model(block), 'q4_0')['blk.0.ffn_down.weight'], 'q4_0');
  const perLayer = {
    'attention.head_count': Int32Array.of(32, 32),
    'attention.head_count_kv': Int32Array.of(0, 8),
  };
  assert.equal(chosen(model(block, perLayer), 'q2_k')['blk.0.attn_v.weight'], 'q4_k');
});

test('vectors, norms and routers stay floats of 32 bits; what has blocks stays as it is', () => {
  const formats = chosen(model(block, {}, 'bf16'), 'q4_0');
  assert.deepEqual([formats['blk.0.attn_norm.weight'], formats['blk.0.ffn_gate_inp.weight']], ['f32', 'f32']);
  assert.equal(chosen(model(block, {}, 'q8_0'), 'q4_0')['blk.0.ffn_gate_inp.weight'], 'q8_0');
});

test('the head gets its own format, the embedding too where it is not the head', () => {
  const untied = { 'token_embd.weight': [512, 256], 'output.weight': [512, 256] };
  assert.deepEqual(Object.values(chosen(model(untied), 'q4_k_m')), ['q4_k', 'q6_k']);
  assert.deepEqual(Object.values(chosen(model({ 'token_embd.weight': [512, 256] }), 'q4_k_m')), ['q6_k']);
  const given = { headFormat: 'q8_0', embeddingFormat: 'q5_1' };
  assert.deepEqual(Object.values(chosen(model(untied), 'q4_k_m', given)), ['q5_1', 'q8_0']);
  assert.deepEqual(Object.values(chosen(model(untied), 'q4_k_m', { pure: true })), ['q4_k', 'q4_k']);
  const overrides = [{ pattern: /token/, format: 'f16' }];
  assert.deepEqual(Object.values(chosen(model(untied), 'q4_k_m', { overrides })), ['f16', 'q6_k']);
  assert.throws(() => chosen(model(untied), 'q4_0', { headFormat: 'q9_z' }), { code: 'unsupported' });
});

test('rows that blocks do not fill take the next format, and a remark says so once', () => {
  const shapes = {
    'blk.0.attn_q.weight': [8, 96],
    'blk.1.attn_q.weight': [8, 96],
    'blk.0.attn_k.weight': [8, 20],
  };
  const checkpoint = model(shapes);
  const { tensors, remarks } = chooseFormats(checkpoint, recipeByName('q4_k_s'));
  assert.deepEqual(
    tensors.map(({ format }) => format.name),
    ['q5_0', 'q5_0', 'f16'],
  );
  assert.deepEqual(
    tensors.map(({ byteLength }) => byteLength),
    [8 * 66, 8 * 66, 8 * 40],
  );
  assert.equal(remarks.length, 2);
  assert.match(remarks[0] ?? '', /^blk\.0\.attn_q\.weight and 1 more: rows of 96 values.*q4_k \(256\), q5_0/);
});

test('a source that is quantized already is remarked upon, and not where nothing changes', () => {
  const shapes = { 'blk.0.attn_q.weight': [8, 256] };
  assert.match(
    chooseFormats(model(shapes, {}, 'q8_0'), recipeByName('q4_0')).remarks[0] ?? '',
    /quantized already \(q8_0\)/,
  );
  assert.deepEqual(chooseFormats(model(shapes, {}, 'q8_0'), recipeByName('q8_0')).remarks, []);
});

test('a file without tensors is refused, not written as nothing', () => {
  assert.throws(() => chosen(model({}), 'q4_0'), { code: 'bad-file', message: /nothing to quantize/ });
});
