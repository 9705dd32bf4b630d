/** A plan as text: segments and their kernels, buffers with their expressions, bytes at the bounds, what reuse saved. */
import type { Capability, Plan } from '../plan.ts';
import { addDims, type Dim, dimBounds } from '../tensor.ts';
import { tokenCost } from './token-cost.ts';

const bytesAtBounds = (bytes: Dim): string => {
  const { min, max } = dimBounds(bytes);
  return min === max ? `${max}` : `${min}…${max}`;
};

/** With a capability also what one token costs on that machine. */
export function printPlan(plan: Plan, capability?: Capability): string {
  const lines: string[] = [];
  let number = 0;
  const { weightBytes, cache } = plan;
  plan.segments.forEach((segment, index) => {
    const where = weightBytes.length > 1 ? ` in memory ${segment.memory}` : '';
    lines.push(
      `segment ${index} (${segment.stage})${where}: ${segment.kernels.length} kernels, ${segment.weights.length} weights`,
    );
    for (const kernel of segment.kernels) {
      const print = ({ value, form }: { value: { name: string }; form: { name: string } }) =>
        `${value.name}:${form.name}`;
      const layer = kernel.nodes[0]?.layer;
      const weights = kernel.nodes.flatMap((node) => node.inputs.filter((input) => input.kind === 'weight'));
      const inputs = [
        ...kernel.inputs.map(print),
        ...weights.map((weight) => `${weight.name}:${weight.type.format.name}`),
      ];
      const where = layer === undefined ? '' : ` [layer ${layer}]`;
      lines.push(
        `  ${number}${where} ${kernel.pattern}(${inputs.join(', ')}) -> ${kernel.outputs.map(print).join(', ')}`,
      );
      number++;
    }
  });
  lines.push(
    `buffers: ${plan.buffers.length} in ${new Set(plan.buffers.map((buffer) => buffer.slot)).size} slots`,
  );
  for (const { value, form, slot, offset, bytes, first, last } of plan.buffers) {
    lines.push(
      `  slot ${slot} ${value.name}:${form.name} kernels ${first}–${last} offset ${offset} bytes ${bytes} (${bytesAtBounds(bytes)})`,
    );
  }
  const apart = dimBounds(addDims(...plan.buffers.map((buffer) => buffer.bytes))).max;
  const arena = dimBounds(plan.arenaBytes).max;
  lines.push(
    `arena: ${plan.arenaBytes} = ${bytesAtBounds(plan.arenaBytes)} bytes; apart the buffers would take ${apart}`,
  );
  lines.push(`reuse saves ${apart - arena} bytes (${((1 - arena / Math.max(1, apart)) * 100).toFixed(1)} %)`);
  lines.push(
    `cache: ${cache.pageBytes} bytes a page of ${cache.pageRows} rows over ${cache.layers.length} layers`,
  );
  if (capability) {
    const { launches, launchesPerLayer, weightBytes: read } = tokenCost(plan, capability);
    lines.push(`one token: ${launches} launches, ${launchesPerLayer} a layer; ${read} bytes of weights read`);
  }
  if (weightBytes.length > 1) {
    weightBytes.forEach((bytes, memory) => {
      lines.push(
        `memory ${memory}: ${bytes} bytes of weights, ${cache.partBytes[memory]} bytes of a cache page`,
      );
    });
  }
  return lines.join('\n');
}
