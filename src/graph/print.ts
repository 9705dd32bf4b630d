/** A graph as text, one node a line. */
import type { Graph } from '../graph.ts';
import { printTensorType } from '../tensor.ts';

export function printGraph(graph: Graph): string {
  return graph.nodes
    .map(({ operation, inputs, output }) => {
      const operands = inputs.map((value) => value.name).join(', ');
      return `${output.name}: ${printTensorType(output.type)} = ${operation.op}(${operands})`;
    })
    .join('\n');
}
