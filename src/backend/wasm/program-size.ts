/** What the programs of a plan will hold in memory, told before they are prepared. */
import type { Plan } from '../../plan.ts';
import { Lowering } from './lower.ts';
import { mostInstances } from './program.ts';

const sizeOf = (byteLength: number): number => Math.max(64, Math.ceil(byteLength / 64) * 64);

export function programBytes(plan: Plan): number {
  let bytes = 0;
  const count = (byteLength: number): number => {
    bytes += sizeOf(byteLength);
    return 0;
  };
  for (const segment of plan.segments) {
    const { tape } = new Lowering(segment, plan, {
      constant: (content) => count(content.byteLength),
      scratch: count,
      description: () => 0,
      dots: 'wide',
    });
    bytes += mostInstances * sizeOf(tape.wordCount * 4);
  }
  return bytes;
}
