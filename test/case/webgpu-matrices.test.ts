/**
 * Products by units for matrices, which no adapter that is a program has: the language accepts the kernels on Dawn's device
 * that computes nothing, and with functions in the units' place they compute the right results on one that does.
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import { productCheck } from '../../src/backend/webgpu/check/product-check.ts';
import { openDevice } from '../../src/backend/webgpu/device.ts';
import { KernelVerdicts } from '../../src/backend/webgpu/kernel-verdicts.ts';
import { Pipelines } from '../../src/backend/webgpu/pipelines.ts';
import { tileWays } from '../../src/backend/webgpu/product-ways.ts';
import { type KernelText, matrices, shaderText, withCheck } from '../../src/backend/webgpu/shader/kernel.ts';
import {
  dividesTile,
  type MatrixUnit,
  matrixMemoryBytes,
  matrixProductKernel,
  matrixTileSize,
} from '../../src/backend/webgpu/shader/matrix-product.ts';
import type { ProductShape } from '../../src/backend/webgpu/shader/product.ts';
import { layoutOf } from '../../src/backend/webgpu/weight-layout.ts';
import { formatByName } from '../../src/format.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';

const halves: MatrixUnit = { component: 'f16', rows: 16, columns: 16, inner: 16, subgroupSize: 32 };
const uneven: MatrixUnit = { component: 'f16', rows: 8, columns: 16, inner: 16, subgroupSize: 16 };
const floats: MatrixUnit = { component: 'f32', rows: 8, columns: 8, inner: 8, subgroupSize: 32 };

const q4 = layoutOf(formatByName('q4_0'));
const q6 = layoutOf(formatByName('q6_k'));
const f16 = layoutOf(formatByName('f16'));
const gating = { activation: 'silu' } as const;
const shapes: readonly ProductShape[] = [
  { layouts: [q4], gating: undefined, norm: false, residual: true },
  { layouts: [q4, f16], gating: undefined, norm: true, residual: false },
  { layouts: [q6, q6], gating, norm: true, residual: false },
];

/** Dawn crashes where an instance is collected whose device was used. */
const instances: GPU[] = [];

/** Dawn's device of all features, which computes nothing. */
async function openNullDevice(): Promise<GPUDevice | undefined> {
  try {
    const dawn = createRequire(import.meta.url)('webgpu') as { create(options: string[]): GPU };
    const gpu = dawn.create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
    instances.push(gpu);
    const adapter = await gpu.requestAdapter();
    const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as GPUFeatureName[];
    return await adapter?.requestDevice({ requiredFeatures: features });
  } catch {
    return undefined;
  }
}

const nullDevice = await openNullDevice();
after(() => nullDevice?.destroy());

test('webgpu: the language takes products by units for matrices', {
  skip: nullDevice ? false : 'no package webgpu here',
}, async () => {
  for (const unit of [halves, uneven, floats]) {
    for (const shape of shapes) {
      const code = shaderText(matrixProductKernel(shape, unit));
      nullDevice?.pushErrorScope('validation');
      const told = await nullDevice?.createShaderModule({ code }).getCompilationInfo();
      assert.equal(await nullDevice?.popErrorScope(), null);
      assert.deepEqual(
        told?.messages.map(({ message }) => message),
        [],
      );
    }
  }
});

const { skip } = await findSoftwareGpu();
const opened = skip ? undefined : openDevice({ parallel: true });
after(async () => (await opened)?.device.destroy());

for (const [name, unit] of Object.entries({ halves, floats })) {
  // A program takes long to compile those with halves.
  for (const shape of unit === halves ? shapes.slice(0, 1) : shapes) {
    const what = `${shape.layouts.map((layout) => layout.name)}${shape.gating ? ', gated' : ''}`;
    test(`webgpu: products by matrices of ${name} are right: ${what}`, { skip }, async (context) => {
      if (!opened) return;
      const { device, profile } = await opened;
      if (unit.component === 'f16' && !profile.halves) return context.skip('no halves here');
      const verdicts = await KernelVerdicts.open(undefined, '');
      const kernel = withCheck(withoutUnits(matrixProductKernel(shape, unit), unit), () =>
        productCheck(shape, {
          ...{ rows: matrixTileSize, columns: matrixTileSize },
          ...tileWays.matrices.precision,
        }),
      );
      await new Pipelines(device, profile.wrongKernels, verdicts).of(kernel).ready;
    });
  }
}

/** The same kernel, in which each thread of a subgroup has its share of a result's elements, and matrices are places. */
function withoutUnits(kernel: KernelText, unit: MatrixUnit): KernelText {
  const { columns, rows, inner, subgroupSize } = unit;
  const share = (rows * columns) / subgroupSize;
  const isDeclared = (name: string) => kernel.body.includes(`var<workgroup> ${name}`);
  const tiles = ['weightTile', 'secondTile'].filter(isDeclared);
  const strips = ['strip0', 'strip1'].filter(isDeclared);
  const functions = [
    'var<private> lane: u32;',
    'struct Left { at: u32, stride: u32 }',
    'struct Right { tile: u32, at: u32, stride: u32 }',
    `alias Sums = array<f32, ${share}>;`,
    'fn load_inputTile(at: u32, stride: u32) -> Left { return Left(at, stride); }',
    ...tiles.map(
      (tile, index) =>
        `fn load_${tile}(at: u32, stride: u32) -> Right { return Right(${index}u, at, stride); }`,
    ),
    `fn multiplyAdd(left: Left, right: Right, sums: Sums) -> Sums {
  var all = sums;
  for (var i = 0u; i < ${share}u; i++) {
    let row = (lane + i * ${subgroupSize}u) / ${columns}u;
    let column = (lane + i * ${subgroupSize}u) % ${columns}u;
    for (var k = 0u; k < ${inner}u; k++) {
      let at = right.at + column * right.stride + k;
      let weight = ${tiles.length > 1 ? 'select(weightTile[at], secondTile[at], right.tile == 1u)' : 'weightTile[at]'};
      all[i] += f32(inputTile[left.at + row * left.stride + k]) * f32(weight);
    }
  }
  return all;
}`,
    ...strips.map(
      (strip) => `fn store_${strip}(at: u32, sums: Sums, stride: u32) {
  var all = sums;
  for (var i = 0u; i < ${share}u; i++) {
    let element = lane + i * ${subgroupSize}u;
    ${strip}[at + element / ${columns}u * stride + element % ${columns}u] = all[i];
  }
}`,
    ),
  ];
  const body = kernel.body
    .replace(/alias (Left|Right|Sums) = [^;]*;/g, '')
    .replaceAll('Sums(0.0)', 'Sums()')
    .replaceAll('let subgroup = lid', `lane = lid % ${subgroupSize}u;\n  let subgroup = lid`)
    .replace(/subgroupMatrixLoad<\w+, \w+>\(&(\w+), /g, 'load_$1(')
    .replace(/subgroupMatrixStore<\w+>\(&(\w+), /g, 'store_$1(')
    .replaceAll('subgroupMatrixMultiplyAccumulate', 'multiplyAdd');
  const needs = (kernel.needs ?? []).filter((need) => need !== matrices);
  return { ...kernel, needs, body: `${body}\n${functions.join('\n')}` };
}

test('webgpu: units that divide no quarter of a tile are not used, and memory is counted', () => {
  assert.ok([halves, uneven, floats].every(dividesTile));
  assert.ok(!dividesTile({ ...halves, rows: 24 }));
  assert.ok(!dividesTile({ ...halves, subgroupSize: 128 }));
  // Two tiles of halves, 64 by 40; a strip of 32 by 64 floats; two floats for each of 128 threads.
  assert.equal(matrixMemoryBytes(halves, { gating: undefined }), 2 * 64 * 40 * 2 + 32 * 64 * 4 + 2 * 128 * 4);
});
