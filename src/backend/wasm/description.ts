/** Record descriptions in memory, for kernels that read or write a packed layout value by value (`assembly/embed.ts`). */
import { type PackedLayout, type Plane, packedLayouts, recordOffsets } from './layout.ts';
import type { LinearMemory } from './memory.ts';

const scaleKinds: Record<PackedLayout['scale'], number> = { half: 0, 'half-pair': 1, exponent: 2 };
const planeKinds: Record<Plane, number> = { nibble: 0, pair: 1, bit: 2, byte: 3 };

/** Address of each layout's description, by the layout's number. */
export function writeDescriptions(memory: LinearMemory): ReadonlyMap<number, number> {
  const layouts: readonly PackedLayout[] = packedLayouts;
  return new Map(
    layouts.map((layout, number) => {
      const { bias, planes, block, bytes } = recordOffsets(layout);
      const address = memory.allocate(128, 'constants');
      const table = address + 64;
      const words = [
        scaleKinds[layout.scale],
        layout.bias ? bias : 0,
        layout.zero,
        bytes,
        layout.table ? table : 0,
        (layout.blocks ?? 1) - 1,
        block,
      ];
      words.push(...layout.planes.flatMap((plane, index) => [planeKinds[plane], planes[index] ?? 0]));
      new Int32Array(memory.memory.buffer, address, 16).set([...words, -1]);
      if (layout.table) memory.view(table, 16).set(layout.table);
      return [number, address];
    }),
  );
}
