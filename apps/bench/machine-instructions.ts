/** Which instruction sets for integer dot products and wide vectors the processor admits to. */
import { readFileSync } from 'node:fs';

const wanted = {
  avx512f: 'AVX-512',
  avx512_vnni: 'AVX512-VNNI',
  avx_vnni: 'AVX-VNNI',
  amx_int8: 'AMX-INT8',
  asimddp: 'dot product',
  i8mm: 'I8MM',
};

/** `AVX-512 yes, …, AMX-INT8 no`; empty where the system does not say. */
export function integerInstructions(): string {
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8');
    const flags = new Set((/^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1] ?? '').trim().split(/\s+/));
    const isArm = flags.has('asimd');
    return Object.entries(wanted)
      .filter(([flag]) => (flag === 'asimddp' || flag === 'i8mm') === isArm)
      .map(([flag, title]) => `${title} ${flags.has(flag) ? 'yes' : 'no'}`)
      .join(', ');
  } catch {
    return '';
  }
}
