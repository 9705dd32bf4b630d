/** What a kernel is to the host: its text, what it binds and the words of its parameters. */

export interface Binding {
  readonly name: string;
  /** Element type of the array. */
  readonly element: 'vec4<f32>' | 'vec4<u32>' | 'f32' | 'u32';
  readonly access: 'read' | 'read_write';
}

/** WGSL's name of products by the units for matrices. */
export const matrices = 'chromium_experimental_subgroup_matrix';

export interface KernelText {
  /** Same key, same text. */
  readonly key: string;
  /** Binding 0 is the parameters; these follow. */
  readonly bindings: readonly Binding[];
  /** 32-bit words, in order; floats are read by `bitcast`. */
  readonly params: readonly string[];
  /** Everything after the declarations. */
  readonly body: string;
  /** WGSL's names of what a device must have for it. */
  readonly needs?: readonly ('subgroups' | 'f16' | typeof matrices)[];
  /** A case that the kernel must compute rightly on a device before it is used there, made when it is wanted. */
  readonly check?: () => KernelCheck;
}

/** One launch of a kernel and what it must leave behind. */
export interface KernelCheck {
  /** What the bindings hold, in order. */
  readonly buffers: readonly ArrayBufferView<ArrayBuffer>[];
  readonly params: Readonly<Record<string, number>>;
  readonly groups: readonly [number, number, number];
  /** Words that are looked at, one stretch behind the other. `binding`: index into `buffers`. */
  readonly results: readonly { readonly binding: number; readonly first: number; readonly count: number }[];
  /** What the words stand for; float32 without it. */
  readonly valuesOf?: (words: Uint32Array<ArrayBuffer>) => ArrayLike<number>;
  readonly expected: ArrayLike<number>;
  /** How far each value may be from what is expected. */
  readonly bounds: ArrayLike<number>;
  /** Another launch that has to be right, too. */
  readonly next?: KernelCheck | undefined;
}

export const withCheck = (kernel: KernelText, check: () => KernelCheck): KernelText => ({ ...kernel, check });

export const arena: Binding = { name: 'arena', element: 'vec4<f32>', access: 'read_write' };
export const step: Binding = { name: 'step', element: 'u32', access: 'read' };

export const reads = (name: string, element: Binding['element']): Binding => ({
  name,
  element,
  access: 'read',
});

export function shaderText({ bindings, params, body, needs = [] }: KernelText): string {
  const declared = bindings.map(
    ({ name, element, access }, index) =>
      `@group(0) @binding(${index + 1}) var<storage, ${access}> ${name}: array<${element}>;`,
  );
  return [
    ...needs.map((need) => `enable ${need};`),
    // Places in workgroup memory follow from the thread's number, which is the same for a subgroup only as far as hosts go.
    ...(needs.includes(matrices) ? ['diagnostic(off, chromium.subgroup_matrix_uniformity);'] : []),
    `struct Params { ${params.map((name) => `${name}: u32`).join(', ')} }`,
    '@group(0) @binding(0) var<uniform> p: Params;',
    ...declared,
    body,
  ].join('\n');
}

const floatWord = new DataView(new ArrayBuffer(4));

/** The bits of a float32, as a parameter. */
export function floatBits(value: number): number {
  floatWord.setFloat32(0, value);
  return floatWord.getUint32(0);
}

/** The words 0…count-1 as text. */
export const times = (count: number, text: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => text(index)).join('\n');

/**
 * `name` becomes what `combine` makes of it and of the values of all `width` threads whose numbers differ in the lowest bits
 * alone, `width` being a power of two that no subgroup is smaller than.
 */
export const acrossSubgroup = (
  name: string,
  width: number,
  combine: (own: string, other: string) => string = (own, other) => `${own} + ${other}`,
): string =>
  times(
    Math.log2(width),
    (bit) => `${name} = ${combine(name, `subgroupShuffleXor(${name}, ${2 ** bit}u)`)};`,
  );

/** One value of the arena. */
export const arenaValue = (index: string): string => `arena[(${index}) >> 2u][(${index}) & 3u]`;

/** Number of a thread where workgroups of 64 are laid out in x and y. */
export const threadNumber = '(wid.y * groups.x + wid.x) * 64u + lid';

export const entry = (body: string, workgroup = 64): string => `
@compute @workgroup_size(${workgroup})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lid: u32) {
${body}
}`;
