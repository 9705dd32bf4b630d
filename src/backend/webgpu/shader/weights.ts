/** WGSL that reads packed weights (`weight-layout.ts`): words, scales, and four values of a block at a time. */
import {
  type BlockLayout,
  codeBits,
  type Plane,
  planeBits,
  scaleCount,
  type WeightLayout,
  wordsPerFloatBlock,
} from '../weight-layout.ts';

/** Two halves of a word, exact; hosts may flush subnormal ones in `unpack2x16float`. */
export const exactHalves = `
fn exactHalf(h: u32) -> f32 {
  let magnitude = h & 0x7fffu;
  let normal = bitcast<f32>((magnitude << 13u) + select(0x38000000u, 0x70000000u, magnitude >= 0x7c00u));
  let value = select(normal, f32(magnitude) * 5.9604644775390625e-8, magnitude < 0x400u);
  return select(value, -value, (h & 0x8000u) != 0u);
}
fn exactHalves(word: u32) -> vec2<f32> { return vec2<f32>(exactHalf(word & 0xffffu), exactHalf(word >> 16u)); }`;

/** `fn word_w(i)`: a 32-bit word of binding w. */
export const wordReader = (name: string): string =>
  `fn word_${name}(i: u32) -> u32 { return ${name}[i >> 2u][i & 3u]; }`;

/** Where the bits of code `4 · quad + t` begin: word of the plane's block, and bit. */
function place(plane: Plane, quad: number, t: number): { word: number; bit: number } {
  const code = 4 * quad + t;
  if (plane === 'nibble') return { word: quad & 3, bit: 8 * t + (quad >= 4 ? 4 : 0) };
  const perWord = 32 / planeBits[plane];
  return { word: Math.floor(code / perWord), bit: (code % perWord) * planeBits[plane] };
}

/** `value` with bit `from` moved to bit `to`. */
function shifted(value: string, from: number, to: number): string {
  if (from === to) return value;
  return from < to ? `(${value} << ${to - from}u)` : `(${value} >> ${from - to}u)`;
}

/** Names of a block's plane words once `loadBlock` has declared them. */
const wordName = (prefix: string, plane: number, word: number): string => `${prefix}p${plane}w${word}`;

export const blockWords = (plane: Plane): number => planeBits[plane];

/**
 * Declares the plane words and scales of block `index` (row · blocks + block) of binding `name`, whose planes begin at the
 * parameters `${params}plane0…`, in words.
 */
export function loadBlock(
  layout: BlockLayout,
  name: string,
  params: string,
  index: string,
  prefix: string,
): string {
  const lines: string[] = [];
  layout.planes.forEach((plane, number) => {
    const words = blockWords(plane);
    const at = `(p.${params}plane${number} + ${index} * ${words}u)`;
    if (words >= 4) {
      for (let vector = 0; vector < words / 4; vector++) {
        const vectorName = `${prefix}p${number}v${vector}`;
        lines.push(`let ${vectorName} = ${name}[(${at} >> 2u) + ${vector}u];`);
        ['x', 'y', 'z', 'w'].forEach((axis, word) => {
          lines.push(`let ${wordName(prefix, number, vector * 4 + word)} = ${vectorName}.${axis};`);
        });
      }
    } else {
      for (let word = 0; word < words; word++) {
        lines.push(`let ${wordName(prefix, number, word)} = word_${name}(${at} + ${word}u);`);
      }
    }
  });
  return [...lines, ...loadScales(layout, name, params, index, prefix)].join('\n');
}

/** Declares `${prefix}s0`, `s1` (scales) and `b0`, `b1` (biases). */
function loadScales(
  layout: BlockLayout,
  name: string,
  params: string,
  block: string,
  prefix: string,
): string[] {
  const index = layout.blocksPerScale === 1 ? block : `(${block} >> ${Math.log2(layout.blocksPerScale)}u)`;
  const base = `p.${params}scales`;
  const count = scaleCount(layout);
  if (layout.scale === 'bfloat') {
    const word = `word_${name}(${base} + (${index} >> 1u))`;
    return [
      `let ${prefix}s0 = bitcast<f32>(select(${word} << 16u, ${word} & 0xffff0000u, (${index} & 1u) != 0u));`,
    ];
  }
  if (count === 1) {
    const pair = `unpack2x16float(word_${name}(${base} + (${index} >> 1u)))`;
    return [`let ${prefix}s0 = ${pair}[${index} & 1u];`];
  }
  const names = layout.scales === 1 ? ['s0', 'b0'] : ['s0', 's1', 'b0', 'b1'];
  const lines: string[] = [];
  for (let word = 0; word < count / 2; word++) {
    const pair = `${prefix}h${word}`;
    lines.push(`let ${pair} = unpack2x16float(word_${name}(${base} + ${index} * ${count / 2}u + ${word}u));`);
    lines.push(
      `let ${prefix}${names[2 * word]} = ${pair}.x;`,
      `let ${prefix}${names[2 * word + 1]} = ${pair}.y;`,
    );
  }
  return lines;
}

/** Codes of 4 bits that stand for themselves: E0M4. */
export const isE0m4 = ({ planes, levels }: BlockLayout): boolean => planes.join() === 'nibble' && !levels;

/**
 * `fn lowCodes(word)` and `fn highCodes(word)`: the low or high four bits of a word's bytes as 1 + code / 16, two at a time
 * by an AND and an OR. Bytes 0 and 2 lie in one half each, and so do bytes 1 and 3.
 */
export const e0m4Halves = [
  ['lowCodes', '<< 6u', '>> 2u'],
  ['highCodes', '<< 2u', '>> 6u'],
]
  .map(
    ([name, even, odd]) => `fn ${name}(word: u32) -> vec4<f16> {
  let even = bitcast<vec2<f16>>(((word ${even}) & 0x03c003c0u) | 0x3c003c00u);
  let odd = bitcast<vec2<f16>>(((word ${odd}) & 0x03c003c0u) | 0x3c003c00u);
  return vec4<f16>(even.x, odd.x, even.y, odd.y);
}`,
  )
  .join('\n');

/** Four codes of a loaded block as floats: `1 + code / 2^bits`, or levels of a table. `halves`: by `e0m4Halves`. */
export function quadOf(layout: BlockLayout, prefix: string, quad: number, halves = false): string {
  if (halves && isE0m4(layout)) {
    return `vec4<f32>(${quad < 4 ? 'lowCodes' : 'highCodes'}(${wordName(prefix, 0, quad & 3)}))`;
  }
  if (layout.levels) {
    const codes = [0, 1, 2, 3].map((t) => {
      let below = 0;
      const parts = layout.planes.map((plane, number) => {
        const { word, bit } = place(plane, quad, t);
        const code = `(${shifted(wordName(prefix, number, word), bit, 0)} & ${2 ** planeBits[plane] - 1}u)`;
        const part = `(${code} << ${below}u)`;
        below += planeBits[plane];
        return part;
      });
      return `${levelName(layout)}(${parts.join(' | ')})`;
    });
    return `vec4<f32>(${codes.join(', ')})`;
  }
  let position = 23 - codeBits(layout);
  const parts: string[] = [];
  layout.planes.forEach((plane, number) => {
    const mask = (2 ** planeBits[plane] - 1) * 2 ** position;
    const words = [0, 1, 2, 3].map((t) => {
      const { word, bit } = place(plane, quad, t);
      return shifted(wordName(prefix, number, word), bit, position);
    });
    parts.push(`(vec4<u32>(${words.join(', ')}) & vec4<u32>(${mask}u))`);
    position += planeBits[plane];
  });
  return `bitcast<vec4<f32>>(${parts.join(' | ')} | vec4<u32>(0x3f800000u))`;
}

/** `fn level_x(code)` for each layout with a table. */
export function levelReader(layouts: readonly WeightLayout[]): string {
  const tables = new Map(
    layouts.flatMap((layout) =>
      layout.kind === 'block' && layout.levels ? [[levelName(layout), layout.levels] as const] : [],
    ),
  );
  return [...tables]
    .map(([name, levels]) => {
      const words = levelWords(levels);
      return `fn ${name}(code: u32) -> f32 {
  let levels = vec4<u32>(${words.map((word) => `${word}u`).join(', ')});
  let low = select(levels.x, levels.y, (code & 4u) != 0u);
  let high = select(levels.z, levels.w, (code & 4u) != 0u);
  return f32((select(low, high, code >= 8u) >> ((code & 3u) * 8u)) & 255u) - 128.0;
}`;
    })
    .join('\n');
}

/** Four levels to a word, each plus 128. */
export const levelWords = (levels: readonly number[]): number[] =>
  [0, 4, 8, 12].map((first) =>
    levels.slice(first, first + 4).reduce((word, level, byte) => word + (level + 128) * 2 ** (8 * byte), 0),
  );

const levelName = ({ name }: BlockLayout): string => `level_${name.replaceAll('-', '_')}`;

/** Multiplies sums of `quadOf` values, and what sums of the inputs are multiplied by, so that the code's own value results. */
export function affine(
  layout: BlockLayout,
  prefix: string,
  half: number,
): { scale: string; offset?: string } {
  const scale = `${prefix}s${half}`;
  if (layout.levels) return { scale };
  const steps = 2 ** codeBits(layout);
  const bias = layout.bias ? `${prefix}b${half} - ` : '-';
  return { scale: `(${scale} * ${steps}.0)`, offset: `(${bias}${scale} * ${steps + layout.zero}.0)` };
}

/** Four values of block `index`, rounded once; without the row's factor. `scales` holds what `scales_w` gives. */
export function exactQuad(
  layout: BlockLayout,
  name: string,
  index: string,
  quad: string,
  scales: string,
): string {
  const codes = `quad_${name}(${index}, ${quad})`;
  const pick = (first: string, second: string) =>
    layout.scales === 1
      ? `${scales}.${first}`
      : `select(${scales}.${first}, ${scales}.${second}, ${quad} >= 4u)`;
  if (layout.levels) return `${pick('x', 'y')} * ${codes}`;
  const integers = `((${codes} - 1.0) * ${2 ** codeBits(layout)}.0 - ${layout.zero}.0)`;
  if (!layout.bias) return `${pick('x', 'y')} * ${integers}`;
  return `fma(vec4<f32>(${pick('x', 'y')}), ${integers}, vec4<f32>(${pick('z', 'w')}))`;
}

/** Four values of a float matrix: block `index` of binding `name`. */
export function floatQuad(layout: WeightLayout & { kind: 'float' }, name: string, index: string): string {
  if (layout.name === 'f32') return `bitcast<vec4<f32>>(${name}[${index}])`;
  const words = [0, 1].map((word) => `word_${name}(${index} * ${wordsPerFloatBlock(layout)}u + ${word}u)`);
  if (layout.name === 'f16') return `vec4<f32>(${words.map((word) => `exactHalves(${word})`).join(', ')})`;
  const floats = words.flatMap((word) => [
    `bitcast<f32>(${word} << 16u)`,
    `bitcast<f32>(${word} & 0xffff0000u)`,
  ]);
  return `vec4<f32>(${floats.join(', ')})`;
}

/**
 * `fn quad_w(index, quad)`, four codes of a block as `quadOf` gives them, and `fn scales_w(index)`, its scales and biases
 * (s0, s1, b0, b1): for loops, whose code is small where compiling is dear.
 */
export function blockFunctions(layout: BlockLayout, name: string): string {
  const words = layout.planes.map((plane, number) => {
    const word = (further: string) =>
      `vec4<u32>(word_${name}(p.${name}plane${number} + index * ${blockWords(plane)}u + ${further}))`;
    const readers: Record<Plane, string> = {
      nibble: `((${word('(quad & 3u)')} >> vec4<u32>(quad / 4u * 4u)) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u)`,
      byte: `(${word('quad')} >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u)`,
      pair: `((${word('quad / 4u')} >> vec4<u32>((quad & 3u) * 8u)) >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u)`,
      bit: `((${word('0u')} >> vec4<u32>(quad * 4u)) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)`,
    };
    return readers[plane];
  });
  let below = 0;
  const codes = layout.planes
    .map((plane, number) => {
      const shift = below;
      below += planeBits[plane];
      return `((${words[number]}) << vec4<u32>(${shift}u))`;
    })
    .join(' | ');
  const values = layout.levels
    ? `vec4<f32>(${['x', 'y', 'z', 'w'].map((axis) => `${levelName(layout)}(codes.${axis})`).join(', ')})`
    : `bitcast<vec4<f32>>((codes << vec4<u32>(${23 - codeBits(layout)}u)) | vec4<u32>(0x3f800000u))`;
  const number = (scale: string) => (scaleNames(layout).includes(scale) ? `v${scale}` : '0.0');
  return `
fn quad_${name}(index: u32, quad: u32) -> vec4<f32> {
  let codes = ${codes};
return ${values};
}
fn scales_${name}(index: u32) -> vec4<f32> {
${loadScales(layout, name, name, 'index', 'v').join('\n')}
return vec4<f32>(${['s0', 's1', 'b0', 'b1'].map(number).join(', ')});
}`;
}

const scaleNames = ({ scales, bias }: BlockLayout): string[] => [
  's0',
  ...(scales === 2 ? ['s1'] : []),
  ...(bias ? ['b0'] : []),
  ...(scales === 2 && bias ? ['b1'] : []),
];
