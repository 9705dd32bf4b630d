/** Which packed layout each number format goes to, and how large a weight is there. */
import { known, NearfieldError } from '../../base/error.ts';
import type { NumberFormat } from '../../format.ts';
import type { StorageForm } from '../../plan.ts';
import type { TensorType } from '../../tensor.ts';
import { f32, q8 } from './forms.ts';
import {
  blockValues,
  groupRows,
  type LayoutName,
  layoutByName,
  layoutNumber,
  recordOffsets,
} from './layout.ts';

/** Layout numbers from here on are float matrices: float32, float16, bfloat16. */
export const floatLayouts = 100;

export interface Packing {
  /** Form in which a product by such a weight reads its input. */
  readonly input: StorageForm;
  /** Number on the tape. */
  readonly layout: number;
  /** Bytes of 16 rows for this many values along K. */
  groupBytes(columns: number): number;
  /** `inner` of a tape entry: records, or values. */
  inner(columns: number): number;
  /** For quantized formats: the number `assembly/unpack.ts` knows it by, and what its scale is multiplied by. */
  readonly unpack?: { readonly format: number; readonly factor: number };
  readonly valueBytes?: number;
  /** Relative error of a packed weight; scales of K-quants are products and need rounding, affine ones may cancel. */
  readonly roundoff: number;
}

const halfRounding = 2 ** -11;

function quantized(layout: LayoutName, format: number, roundoff: number, factor = 1): Packing {
  const packed = layoutByName(layout);
  const { bytes } = recordOffsets(packed);
  const blocks = (columns: number) => columns / blockValues;
  return {
    input: q8,
    layout: layoutNumber(layout),
    groupBytes: (columns) => (blocks(columns) / (packed.blocks ?? 1)) * bytes,
    inner: blocks,
    unpack: { format, factor },
    roundoff,
  };
}

function float(kind: number, valueBytes: number): Packing {
  return {
    input: f32,
    layout: floatLayouts + kind,
    groupBytes: (columns) => columns * groupRows * valueBytes,
    inner: (columns) => columns,
    valueBytes,
    roundoff: 0,
  };
}

const table: ReadonlyMap<string, Packing> = new Map([
  ['f32', float(0, 4)],
  ['f16', float(1, 2)],
  ['bf16', float(2, 2)],
  ['q4_0', quantized('nibble', 0, halfRounding)],
  ['q4_1', quantized('nibble-affine', 1, 3 * halfRounding)],
  ['q5_0', quantized('five', 2, halfRounding)],
  ['q5_1', quantized('five-affine', 3, 3 * halfRounding)],
  ['q8_0', quantized('byte', 4, halfRounding)],
  ['q2_k', quantized('two-affine', 5, 3 * halfRounding)],
  ['q3_k', quantized('three', 6, halfRounding)],
  ['q4_k', quantized('nibble-affine', 7, 3 * halfRounding)],
  ['q5_k', quantized('five-affine', 8, 3 * halfRounding)],
  ['q6_k', quantized('six', 9, halfRounding)],
  ['iq4_nl', quantized('nibble-nonlinear', 10, halfRounding)],
  ['iq4_xs', quantized('nibble-nonlinear', 11, halfRounding)],
  ['mxfp4', quantized('nibble-microscaling', 12, 0, 0.5)],
  ['nvfp4', quantized('nibble-microscaling-pair', 13, 0)],
  ['iq1_s', quantized('two-shifted', 14, halfRounding)],
  ['iq1_m', quantized('three-shifted', 15, halfRounding)],
  ['iq2_xxs', quantized('three-grid', 16, halfRounding)],
  ['iq2_xs', quantized('three-grid-pair', 17, halfRounding)],
  ['iq2_s', quantized('three-grid-pair', 18, halfRounding)],
  ['iq3_xxs', quantized('nibble-grid', 19, halfRounding)],
  ['iq3_s', quantized('nibble-odd', 20, halfRounding)],
  ['tq1_0', quantized('two', 21, halfRounding)],
  ['tq2_0', quantized('two', 22, halfRounding)],
  ['q1_0', quantized('one', 23, halfRounding)],
  ['q2_0', quantized('two', 24, halfRounding)],
  ['e0m4_32', quantized('nibble-affine', 25, 3 * halfRounding)],
  ['e0m4_64', quantized('nibble-affine-wide', 26, 3 * halfRounding)],
  ['e0m4_128', quantized('nibble-affine-wide', 27, 3 * halfRounding)],
]);

export function packingOf(format: NumberFormat): Packing | undefined {
  return table.get(format.name);
}

export function requirePacking(format: NumberFormat): Packing {
  const packing = packingOf(format);
  if (!packing)
    throw new NearfieldError('unsupported', `The wasm backend has no kernel for ${format.name} weights`);
  return packing;
}

export interface WeightSize {
  /** Matrices one behind the other, each in groups of its own: one for each expert, else 1. */
  readonly matrices: number;
  /** Of one of them. */
  readonly rows: number;
  readonly columns: number;
  readonly groups: number;
  /** Bytes of all matrices, and where the groups' scales begin after them. */
  readonly matrixBytes: number;
  readonly totalBytes: number;
}

/** Vectors (norms, biases) are kept as float32; matrices in groups of 16 rows, followed by one float32 per group. */
export function weightSize({ format, shape }: TensorType<NumberFormat>): WeightSize {
  const sizes = shape.map((size) => {
    if (typeof size !== 'number') throw new NearfieldError('internal', 'A weight has a fixed shape');
    return size;
  });
  const columns = known(sizes.at(-1), 'columns of a weight');
  if (sizes.length === 1) {
    const totalBytes = Math.ceil(columns / 16) * 64;
    return { matrices: 1, rows: 1, columns, groups: 0, matrixBytes: totalBytes, totalBytes };
  }
  const matrices = sizes.slice(0, -2).reduce((product, size) => product * size, 1);
  const rows = known(sizes.at(-2), 'rows of a weight');
  const groups = Math.ceil(rows / groupRows);
  const packing = requirePacking(format);
  const matrixBytes = matrices * groups * packing.groupBytes(columns);
  const scaleBytes = packing.unpack ? Math.ceil((matrices * groups) / 16) * 64 : 0;
  return { matrices, rows, columns, groups, matrixBytes, totalBytes: matrixBytes + scaleBytes };
}
