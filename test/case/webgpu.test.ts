/** The webgpu backend under the case table, on an adapter that is a program, with the kernels of either kind of device. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openWebgpuBackend, type WebgpuBackend } from '../../src/backend/webgpu/backend.ts';
import { type DeviceOptions, openDevice } from '../../src/backend/webgpu/device.ts';
import { quickest } from '../../src/backend/webgpu/measure-ways.ts';
import { findSoftwareGpu } from '../fixture/software-gpu.ts';
import { temporaryFolder } from '../fixture/temporary-folder.ts';
import { changeKernels, watchDevice } from '../fixture/watch-device.ts';
import { type BackendMutant, expectNoticed } from './mutants/expect-noticed.ts';
import { changeStep, flipMaskBit, scaleFileBlock, shiftPosition } from './mutants/mutate-backend.ts';
import { opCases } from './op-cases.ts';
import { runCase } from './run-cases.ts';

const { skip: noDevice } = await findSoftwareGpu();

/** Kernels for devices whose threads run side by side take a program long to compile: some cases are enough for them. */
const devices = [
  {
    name: 'alone',
    isPart: false,
    options: { parallel: false },
    // Of cases that differ in a size alone, some: a kernel for each size takes long to compile.
    cases:
      /^(?!matmul \S+ \[96|matmul (?!q4_0|q8_0|q4_k|q6_k|f16)\S+ \[130|attention, (groups of (1|4|7), heads of (32|64|128)|groups of 2, heads of (32|64|80)|prefix of 12[78]|window of (128|1000))|layers .*(q6_k|"q8_0","inner":160))/,
    cached: /^(attention, (tree of|tree d|groups of 4, heads of 64|values)|layers.*q4_k)/,
  },
  {
    name: 'side by side, default limits',
    isPart: true,
    options: { parallel: true, defaultLimits: true },
    // A program compiles these slowly: one of each kind of kernel.
    cases: /^(matmul q4_0 \[96|attention, (tree of|three)|layers \{\})/,
    // Their kernels differ in the reading of rows, which the other device's do alike.
    cached: /^(?!)/,
  },
  {
    name: 'side by side, features of the adapter',
    isPart: true,
    options: { parallel: true },
    cases: /^(matmul q4_0 \[96|rms-norm|attention, tree of)/,
    cached: /^attention, tree of/,
  },
  {
    name: 'side by side, many rows in bytes',
    isPart: true,
    options: { parallel: true, ways: { tiles: ['packed', 'floats'], rows: [{ columns: 2, halves: false }] } },
    cases: /^matmul (q4_0|q6_k) \[96/,
    cached: /^(?!)/,
  },
  {
    name: 'side by side, in halves',
    needsHalves: true,
    isPart: true,
    options: { parallel: true, ways: { tiles: ['halves', 'floats'], rows: [{ columns: 1, halves: true }] } },
    cases: /^matmul (q4_0|q6_k) \[96/,
    cached: /^(?!)/,
  },
] as const satisfies readonly {
  readonly name: string;
  readonly needsHalves?: boolean;
  readonly isPart: boolean;
  readonly options: DeviceOptions;
  readonly cases: RegExp;
  readonly cached: RegExp;
}[];

const hasHalves = !noDevice && (await adapterHasHalves());

async function adapterHasHalves(): Promise<boolean> {
  const { device, profile } = await openDevice();
  device.destroy();
  return profile.halves;
}

for (const { name: device, options, cases, cached, isPart, ...rest } of devices) {
  const lacks = 'needsHalves' in rest && !hasHalves ? 'no halves here' : false;
  const skip = noDevice || lacks;
  let opened: Promise<WebgpuBackend> | undefined;
  const backend = () => {
    opened ??= openWebgpuBackend({}, options);
    return opened;
  };
  const unused = new Set<string>();
  after(async () => (await opened)?.close());

  test(`webgpu, ${device}: opens`, { skip }, async () => {
    for (const pattern of (await backend()).describe().patterns) unused.add(pattern.name);
  });

  for (const opCase of opCases.filter(({ name }) => cases.test(name))) {
    test(`webgpu, ${device}: ${opCase.name}`, { skip }, async (context) => {
      const { problems, patterns, skipped } = await runCase(await backend(), opCase);
      for (const pattern of patterns) unused.delete(pattern);
      if (skipped) return context.skip(skipped);
      assert.deepEqual(problems, []);
    });
  }

  for (const cacheType of ['f16', 'q8_0'] as const) {
    for (const opCase of opCases.filter(({ name }) => cached.test(name))) {
      test(`webgpu, ${device}, ${cacheType} cache: ${opCase.name}`, { skip }, async (context) => {
        const { problems, skipped } = await runCase(await backend(), opCase, cacheType);
        if (skipped) return context.skip(skipped);
        assert.deepEqual(problems, []);
      });
    }
  }

  test(`webgpu, ${device}: the cases use every fusion pattern`, { skip: skip || isPart }, () => {
    assert.deepEqual([...unused], []);
  });

  test(`webgpu, ${device}: nothing is held after the cases`, { skip }, async () => {
    const { weightBytes, regionBytes } = (await backend()).memory();
    assert.deepEqual({ weightBytes, regionBytes }, { weightBytes: 0, regionBytes: 0 });
  });
}

const mutants: readonly BackendMutant[] = [
  {
    name: /^matmul (f32|q8_0|q4_0|q4_k|q6_k) of terms of one sign/,
    mutate: (base) => scaleFileBlock(base, 1, 0, 1.02),
  },
  { name: /^attention, tree (of|w)/, mutate: (base) => changeStep(base, flipMaskBit) },
  { name: /^attention, tree w/, mutate: (base) => changeStep(base, flipMaskBit), cacheType: 'q8_0' },
  { name: /^(rope split|layers \{\})/, mutate: (base) => changeStep(base, shiftPosition) },
];

test(
  'webgpu: its stated rounding hides no scaled block, flipped mask bit or shifted position',
  { skip: noDevice },
  async () => expectNoticed(await openWebgpuBackend({}, { parallel: false }), mutants),
);

test('webgpu: a kernel that the driver computes wrongly is not used', { skip: noDevice }, async () => {
  const cases = opCases.filter(({ name }) => name === 'matmul f32 [48, 32]');
  const inLanes = /^(tiled product|product f32 \S* ?\d,4)/;
  using _ = changeKernels((code, label) =>
    inLanes.test(label) ? code.replaceAll('dot(', '1.01 * dot(') : code,
  );
  const backend = await openWebgpuBackend({}, { parallel: true });
  try {
    assert.equal(cases.length, 1);
    for (const opCase of cases) assert.deepEqual((await runCase(backend, opCase)).problems, []);
    // One more where there are subgroups.
    assert.ok(backend.remarks().length >= 3, `${backend.remarks()}`);
  } finally {
    await backend.close();
  }
});

test('webgpu: a kernel that the driver refuses is not used either', { skip: noDevice }, async () => {
  const cases = opCases.filter(({ name }) => name === 'matmul q4_0 of terms of one sign');
  using _ = changeKernels((code, label) => (/^product .* 1,2,/.test(label) ? `no ${code}` : code));
  const ways = {
    tiles: ['floats'],
    rows: [
      { columns: 2, halves: false },
      { columns: 4, halves: false },
    ],
  } as const;
  const backend = await openWebgpuBackend({}, { parallel: true, ways });
  try {
    assert.equal(cases.length, 1);
    for (const opCase of cases) assert.deepEqual((await runCase(backend, opCase)).problems, []);
    assert.ok(
      backend.remarks().some((remark) => /the driver refuses it/.test(remark)),
      `${backend.remarks()}`,
    );
  } finally {
    await backend.close();
  }
});

test('webgpu: where no kernel is right the step fails and says so', { skip: noDevice }, async () => {
  const [opCase] = opCases.filter(({ name }) => name === 'matmul f32 [48, 32]');
  using _ = changeKernels((code, label) =>
    label.startsWith('product') ? code.replaceAll('dot(', '1.01 * dot(') : code,
  );
  const backend = await openWebgpuBackend({}, { parallel: false });
  try {
    assert.ok(opCase);
    await assert.rejects(runCase(backend, opCase), {
      code: 'unsupported',
      message: /computes product f32 .*wrongly/,
    });
  } finally {
    await backend.close();
  }
});

test('webgpu: ways to multiply are timed once on an adapter, and the next device begins with them', {
  skip: noDevice,
}, async () => {
  await using files = await temporaryFolder();
  const facts = { folder: files.path('facts') };
  const trials = async (): Promise<number> => {
    using watch = watchDevice();
    const backend = await openWebgpuBackend({ facts }, { parallel: true, measures: true });
    await backend.close();
    return watch.dispatches;
  };
  assert.ok((await trials()) > 0);
  assert.equal(await trials(), 0);
});

test('the quickest way stands before the plain one, which is kept where little is gained', () => {
  const plain = ['plain'];
  const timed = (plainMs: number, otherMs: number) => [
    { way: 'plain', ms: plainMs },
    { way: 'other', ms: otherMs },
  ];
  assert.deepEqual(quickest(timed(10, 5), plain), ['other', 'plain']);
  assert.deepEqual(quickest(timed(10, 9.9), plain), plain);
  assert.deepEqual(quickest(timed(5, 10), plain), plain);
  // One that a device does not compute.
  assert.deepEqual(quickest(timed(10, Number.POSITIVE_INFINITY), plain), plain);
  assert.deepEqual(quickest(timed(Number.POSITIVE_INFINITY, 10), plain), ['other', 'plain']);
});
