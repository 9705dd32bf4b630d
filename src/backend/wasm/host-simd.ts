/** Which vector instructions this host compiles, asked with one tiny function each. */

/** Opcodes of the binary format: `i32.const 0; i8x16.splat`, and `i32x4.relaxed_dot_i8x16_i7x16_add_s`. */
const vector = [0x41, 0x00, 0xfd, 0x0f];
const relaxedDot = [0xfd, 0x93, 0x02];

export function hasSimd(): boolean {
  return compiles(vector);
}

export function hasRelaxedSimd(): boolean {
  return compiles([...vector, ...vector, ...vector, ...relaxedDot]);
}

/** A module of one function without parameters or locals that returns a vector; sections are type, function, code. */
function compiles(instructions: readonly number[]): boolean {
  const body = [0, ...instructions, 0x0b];
  const magic = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const type = [1, 5, 1, 0x60, 0, 1, 0x7b];
  const code = [10, body.length + 2, 1, body.length, ...body];
  return WebAssembly.validate(new Uint8Array([...magic, ...type, 3, 2, 1, 0, ...code]));
}
