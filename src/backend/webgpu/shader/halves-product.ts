/**
 * Matrix products for many rows in halves: a block of 32 inputs is divided by a power of two of its own while it is brought to
 * workgroup memory, codes are centred around zero, and products of 8 values are summed before they become floats. Codes of 4
 * bits become halves two at a time by an AND and an OR (E0M4); scales and biases stay outside.
 */
import { type BlockLayout, codeBits } from '../weight-layout.ts';
import { type BlockTile, blockTileKernel, each, type TileSource, tileSize } from './block-tile.ts';
import { type KernelText, times } from './kernel.ts';
import type { ProductShape } from './product.ts';
import { e0m4Halves, isE0m4 } from './weights.ts';

export function halvesProductKernel(shape: ProductShape): KernelText {
  const tile: BlockTile = {
    name: 'halves',
    needs: ['f16'],
    blocks: 1,
    functions: `${e0m4Halves}
/** The power of two above, from 2^-120 on. */
fn powerAbove(size: f32) -> f32 { return bitcast<f32>(max(bitcast<u32>(size) & 0x7f800000u, 0x03800000u) + 0x00800000u); }`,
    inputMemory: `var<workgroup> inputs: array<vec4<f16>, ${8 * tileSize}>;
var<workgroup> inputScales: array<vec4<f32>, ${tileSize}>;`,
    weightMemory: ({ number }) => `var<workgroup> weights${number}: array<vec4<f16>, ${8 * tileSize}>;
var<workgroup> scales${number}: array<vec4<f32>, ${tileSize}>;`,
    putInput: `${times(8, (quad) => `let size${quad} = abs(x${quad});`)}
    let largest = max(max(max(size0, size1), max(size2, size3)), max(max(size4, size5), max(size6, size7)));
    let size = powerAbove(max(max(largest.x, largest.y), max(largest.z, largest.w)));
    let inverse = 1.0 / size;
    ${times(8, (quad) => `inputs[at + ${quad * tileSize}u] = vec4<f16>(x${quad} * inverse);`)}
    let ones = vec4<f32>(1.0);
    inputScales[at] = vec4<f32>(size, dot(x0 + x1 + x2 + x3, ones), dot(x4 + x5 + x6 + x7, ones), 0.0);`,
    putWeight,
    multiply,
  };
  return blockTileKernel(shape, tile);
}

/** What is subtracted from codes so that they lie around zero, and what a unit of the rest then stands for. */
function centre(layout: BlockLayout): { readonly middle: number; readonly unit: number } {
  if (layout.levels) return { middle: 0, unit: 1 };
  const steps = 2 ** codeBits(layout);
  return { middle: steps / 2, unit: isE0m4(layout) ? steps : 1 };
}

function putWeight({ layout, part, number }: TileSource): string {
  const { middle } = centre(layout);
  const scales = `scales${number}[at] = scales_w${part}(index);`;
  const put = (quad: number, value: string) => `weights${number}[at + ${quad * tileSize}u] = ${value};`;
  if (isE0m4(layout)) {
    return `let codes = w${part}[(p.w${part}plane0 >> 2u) + index];
    ${times(4, (word) => `${put(word, `lowCodes(codes[${word}]) - 1.5h`)}\n${put(4 + word, `highCodes(codes[${word}]) - 1.5h`)}`)}
    ${scales}`;
  }
  const value = layout.levels ? 'value' : `(value - 1.0) * ${2 ** codeBits(layout)}.0 - ${middle}.0`;
  return `for (var quad = 0u; quad < 8u; quad++) {
      let value = quad_w${part}(index, quad);
      weights${number}[at + quad * ${tileSize}u] = vec4<f16>(${value});
    }
    ${scales}`;
}

function multiply({ layout, number }: TileSource): string {
  const { middle, unit } = centre(layout);
  const eachCell = (text: (row: number, column: number) => string) =>
    each((row) => each((column) => text(row, column)));
  const halfQuads = layout.scales === 1 ? 8 : 4;
  const halves = Array.from({ length: layout.scales }, (_, half) => {
    const from = half * halfQuads;
    const [scale, biasName] = half === 0 ? ['s.x', 's.z'] : ['s.y', 's.w'];
    const sum = (row: number): string => {
      if (layout.scales === 1) return `(t${row}.y + t${row}.z)`;
      return half === 0 ? `t${row}.y` : `t${row}.z`;
    };
    const shift = layout.levels ? 0 : middle - layout.zero;
    const offset = [layout.bias ? biasName : '', shift !== 0 ? `${scale} * ${shift}.0` : '']
      .filter(Boolean)
      .join(' + ');
    return `{
    ${eachCell((row, column) => `var d${row}c${column} = vec4<f16>(0.0h);`)}
    for (var quad = ${from}u; quad < ${from + halfQuads}u; quad++) {
      let quadAt = at + quad * ${tileSize}u;
      ${each((row) => `let x${row} = inputs[quadAt + down + ${16 * row}u];`)}
      ${each(
        (column) => `{
        let w = weights${number}[quadAt + across + ${16 * column}u];
        ${each((row) => `d${row}c${column} = fma(x${row}, w, d${row}c${column});`)}
      }`,
      )}
    }
    ${each(
      (column) => `{
      let s = scales${number}[at + across + ${16 * column}u];
      ${each((row) => {
        const dot = `t${row}.x * ${unit}.0 * ${scale} * dot(vec4<f32>(d${row}c${column}), vec4<f32>(1.0))`;
        const constant = offset && ` + (${offset}) * ${sum(row)}`;
        return `v${number}r${row}c${column} += ${dot}${constant};`;
      })}
    }`,
    )}
  }`;
  });
  return `{
  ${each((row) => `let t${row} = inputScales[at + down + ${16 * row}u];`)}
  ${halves.join('\n')}
}`;
}
