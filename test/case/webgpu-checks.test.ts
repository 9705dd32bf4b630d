/** The cases that kernels must pass on a device before they are used there: right kernels do, and a wrong one of any kind does not. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { attentionCheck, mergeCheck } from '../../src/backend/webgpu/check/attention-check.ts';
import { cacheMoveCheck, cacheWriteCheck, ropeCheck } from '../../src/backend/webgpu/check/cache-checks.ts';
import {
  adjustCheck,
  firstCheck,
  greatestCheck,
  pickCheck,
  selectCheck as selectDrawnCheck,
  weighCheck,
} from '../../src/backend/webgpu/check/draw-checks.ts';
import {
  expertProductCheck,
  expertSumCheck,
  routeCheck,
} from '../../src/backend/webgpu/check/expert-checks.ts';
import { productCheck } from '../../src/backend/webgpu/check/product-check.ts';
import {
  argmaxCheck,
  embedCheck,
  normCheck,
  pairwiseCheck,
  plainEmbedCheck,
  plainProductCheck,
  selectCheck,
} from '../../src/backend/webgpu/check/row-checks.ts';
import { openDevice } from '../../src/backend/webgpu/device.ts';
import { KernelVerdicts } from '../../src/backend/webgpu/kernel-verdicts.ts';
import { Pipelines, WrongKernelError } from '../../src/backend/webgpu/pipelines.ts';
import { tileWays } from '../../src/backend/webgpu/product-ways.ts';
import { attentionKernel, mergeKernel } from '../../src/backend/webgpu/shader/attention.ts';
import { tileSize } from '../../src/backend/webgpu/shader/block-tile.ts';
import { cacheMoveKernel, cacheWriteKernel, ropeKernel } from '../../src/backend/webgpu/shader/cache.ts';
import {
  adjustKernel,
  firstKernel,
  greatestKernel,
  pickKernel,
  selectKernel as selectDrawnKernel,
  weighKernel,
} from '../../src/backend/webgpu/shader/draw.ts';
import {
  expertProductKernel,
  expertSumKernel,
  routeKernel,
} from '../../src/backend/webgpu/shader/experts.ts';
import { halvesProductKernel } from '../../src/backend/webgpu/shader/halves-product.ts';
import { type KernelCheck, type KernelText, withCheck } from '../../src/backend/webgpu/shader/kernel.ts';
import { packedProductKernel } from '../../src/backend/webgpu/shader/packed-product.ts';
import { columnsPerGroup, productKernel } from '../../src/backend/webgpu/shader/product.ts';
import {
  activateKernel,
  addKernel,
  argmaxKernel,
  embedKernel,
  gatedKernel,
  normKernel,
  plainEmbedKernel,
  plainProductKernel,
  scaleKernel,
  selectKernel,
  softcapKernel,
} from '../../src/backend/webgpu/shader/rows.ts';
import { layoutOf } from '../../src/backend/webgpu/weight-layout.ts';
import { formatByName } from '../../src/format.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';

const { skip } = await findSoftwareGpu();

/** A kernel, its case, and text of it in whose place other text makes it wrong. */
type Subject = readonly [KernelText, () => KernelCheck, string | RegExp, string];

const rotation = { headCount: 2, headSize: 32, pairCount: 12, pairing: 'split' } as const;
const heads = { keyValueHeadCount: 2, keySize: 32, valueSize: 64 } as const;
const shape = {
  ...{ ...heads, headCount: 4, window: true, softCap: true, sinks: true },
  ...{ shared: false, rows: 1, joined: 1, halves: false },
} as const;
const gating = { activation: 'silu' } as const;
const routing = { expertCount: 8, usedCount: 3, gating: 'softmax', normalize: true, scale: 2 } as const;
const q4 = layoutOf(formatByName('q4_0'));
const q6 = layoutOf(formatByName('q6_k'));
const product = { layouts: [q4, q4], gating, norm: true, residual: false };
/** On the smallest subgroups there are. */
const tile = { rows: 1, columns: 2, lanes: 8, unrolled: true, joined: 4, halves: false };
const manyRows = { rows: tileSize, columns: tileSize };
const keys = { keys: rotation, queryHeads: 4 };
const grid = { groups: 3, threads: 64 };

const subjects: Readonly<Record<string, Subject>> = {
  embed: [embedKernel(q4), () => embedCheck(q4), 'let factor = ', 'let factor = 1.01 * '],
  'plain embed': [plainEmbedKernel, plainEmbedCheck, 'thread % p.width]', '0]'],
  'plain product': [plainProductKernel, plainProductCheck, '= sum + added', '= sum'],
  'rms-norm': [normKernel('rms-norm'), () => normCheck('rms-norm'), 'i < 64u', 'i < 63u'],
  'rms-norm across subgroups': [
    normKernel('rms-norm', 4),
    () => normCheck('rms-norm'),
    ...(['subgroupShuffleXor(sum, 2u)', '0.0'] as const),
  ],
  'product across subgroups': [
    productKernel(product, tile),
    () => productCheck(product, { rows: 1, columns: columnsPerGroup(tile) }),
    ...(['subgroupShuffleXor(squares0, 1u)', '0.0'] as const),
  ],
  'product of a row by halves': [
    productKernel(product, { ...tile, halves: true }),
    () => productCheck(product, { rows: 1, columns: columnsPerGroup(tile) }),
    ...(['word >> 6u', 'word >> 5u'] as const),
  ],
  'product in halves': [
    halvesProductKernel(product),
    () => productCheck(product, { ...manyRows, ...tileWays.halves.precision }),
    ...(['- 1.5h', '- 1.4375h'] as const),
  ],
  'product in bytes': [
    packedProductKernel({ ...product, layouts: [q6, q6] }),
    () => productCheck({ ...product, layouts: [q6, q6] }, { ...manyRows, ...tileWays.packed.precision }),
    ...([/\* t0\.x|t0\.x \*/, '0.99 * t0.x *'] as const),
  ],
  'layer-norm': [normKernel('layer-norm'), () => normCheck('layer-norm'), ' - mean', ''],
  add: [addKernel, () => pairwiseCheck({ op: 'add' }), 'a + b', 'a - b'],
  gated: [gatedKernel(gating), () => pairwiseCheck({ op: 'gated', ...gating }), 'exp(', 'exp(0.99 * '],
  activate: [
    activateKernel('gelu-tanh'),
    () => pairwiseCheck({ op: 'activate', activation: 'gelu-tanh' }),
    ...(['0.044715', '0.054715'] as const),
  ],
  scale: [scaleKernel(3), () => pairwiseCheck({ op: 'scale', factor: 3 }), '= a', '= 1.001 * a'],
  softcap: [softcapKernel(3), () => pairwiseCheck({ op: 'softcap', limit: 3 }), '(power - 1.0)', 'power'],
  'select-rows': [selectKernel, selectCheck, 'row * p.width', 'i / p.width * p.width'],
  argmax: [argmaxKernel, argmaxCheck, ' && at < place', ''],
  rope: [ropeKernel(rotation), () => ropeCheck(rotation), 'frequencies[2u * pair + 1u]', '0u'],
  'cache-write f16': [
    cacheWriteKernel({ ...heads, type: 'f16' }, 2, keys),
    () => cacheWriteCheck({ ...heads, type: 'f16' }, 2, keys),
    ...(['<< 16u));', '<< 15u));'] as const),
  ],
  'cache-write q8_0': [
    cacheWriteKernel({ ...heads, type: 'q8_0' }, 1),
    () => cacheWriteCheck({ ...heads, type: 'q8_0' }, 1),
    ...(['round(', 'floor('] as const),
  ],
  'cache-move': [
    cacheMoveKernel({ ...heads, type: 'q8_0' }, 2),
    () => cacheMoveCheck({ ...heads, type: 'q8_0' }, 2),
    ...(['index < step[3]', 'index + 1u < step[3]'] as const),
  ],
  'attention f16, mask': [
    attentionKernel({ ...shape, type: 'f16' }, 2, false),
    () => attentionCheck({ ...shape, type: 'f16' }, 2, false),
    ...(['(low0 | high0) != 0u', 'false'] as const),
  ],
  'attention f16, window': [
    attentionKernel({ ...shape, type: 'f16' }, 2, false),
    () => attentionCheck({ ...shape, type: 'f16' }, 2, false),
    ...(['seen0 - p.window', 'seen0 - p.window + 1u'] as const),
  ],
  'attention f32, sinks': [
    attentionKernel({ ...shape, type: 'f32' }, 1, true),
    () => attentionCheck({ ...shape, type: 'f32' }, 1, true),
    ...(['wid.z == 0u', 'true'] as const),
  ],
  'attention across subgroups': [
    attentionKernel({ ...shape, type: 'f32', joined: 4 }, 1, true),
    () => attentionCheck({ ...shape, type: 'f32', joined: 4 }, 1, true),
    ...(['four_value(pages[i]', 'four_value(pages[0]'] as const),
  ],
  'attention of tiles': [
    attentionKernel({ ...shape, type: 'f32', shared: true, rows: 2 }, 1, false),
    () => attentionCheck({ ...shape, type: 'f32', shared: true, rows: 2 }, 1, false),
    ...(['min(to, visible0)', 'min(to, prefix)'] as const),
  ],
  'attention of parts of tiles': [
    attentionKernel({ ...shape, type: 'f16', shared: true, rows: 4 }, 1, true),
    () => attentionCheck({ ...shape, type: 'f16', shared: true, rows: 4 }, 1, true),
    ...(['word2 >> (bit', 'word1 >> (bit'] as const),
  ],
  'attention with halves': [
    attentionKernel({ ...shape, type: 'f16', halves: true }, 1, false),
    () => attentionCheck({ ...shape, type: 'f16', halves: true }, 1, false),
    ...(['bitcast<vec2<f16>>(', 'bitcast<vec2<f16>>(0xfffefffeu & '] as const),
  ],
  'attention-merge': [
    mergeKernel({ ...shape, type: 'f32' }),
    () => mergeCheck({ ...shape, type: 'f32' }),
    'i < p.splits',
    'i + 1u < p.splits',
  ],
  route: [routeKernel(routing), () => routeCheck({ op: 'route', ...routing }), '!taken && ', ''],
  'draw adjust': [adjustKernel(grid), () => adjustCheck(grid), ' - presence', ''],
  'draw greatest': [greatestKernel(grid), () => greatestCheck(grid), 'max(a.w, b.x)', 'max(a.w, b.w)'],
  'draw first': [firstKernel(grid), () => firstCheck(grid), 'if (other > key)', 'if (other >= key)'],
  'draw select': [
    selectDrawnKernel(grid),
    () => selectDrawnCheck(grid),
    ...(['bits == banned || key < threshold', 'key < threshold'] as const),
  ],
  'draw weigh': [weighKernel(grid), () => weighCheck(grid), 'away <= ', 'away < '],
  'draw pick': [pickKernel(grid), () => pickCheck(grid), 'before = after;', ''],
  'expert-sum': [expertSumKernel, expertSumCheck, 'sum += weight * ', 'sum += '],
  'expert-product': [
    expertProductKernel(q6, 1),
    () => expertProductCheck(q6, 1),
    'expert * p.n + column',
    'column',
  ],
};

const opened = skip ? undefined : openDevice({ parallel: false });
after(async () => (await opened)?.device.destroy());

for (const [name, [kernel, check, from, to]] of Object.entries(subjects)) {
  test(`webgpu: the check of ${name} lets a right kernel through and no wrong one`, {
    skip,
  }, async (context) => {
    if (!opened) return;
    const { device, profile } = await opened;
    const { needs = [] } = kernel;
    if (needs.includes('subgroups') && profile.subgroupSize < 4) return context.skip('no subgroups');
    if (needs.includes('f16') && !profile.halves) return context.skip('no halves');
    const pipelines = new Pipelines(device, profile.wrongKernels, await KernelVerdicts.open(undefined, ''));
    await pipelines.of(withCheck(kernel, check)).ready;
    const body = typeof from === 'string' ? kernel.body.replaceAll(from, to) : kernel.body.replace(from, to);
    assert.notEqual(body, kernel.body);
    const wrong = withCheck({ ...kernel, body, key: `wrong ${kernel.key}` }, check);
    await assert.rejects(pipelines.of(wrong).ready, WrongKernelError);
    assert.ok(profile.wrongKernels.has(wrong.key));
  });
}
