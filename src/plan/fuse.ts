/** Fusion: groups of nodes that a backend runs as one kernel, found by the patterns it states. */
import type { GraphNode, Value } from '../graph.ts';
import type { Capability } from '../plan.ts';

/** What a pattern may ask of the graph around a node. */
export interface GraphView {
  /** Node that makes the value, if it is in this segment. */
  producer(value: Value): GraphNode | undefined;
  /** Every node that reads the value, in any segment. */
  readers(value: Value): readonly GraphNode[];
}

export interface FusionPattern {
  readonly name: string;
  /** Nodes of the group whose last node is `root`, or undefined. The planner checks that the group may run as one. */
  match(root: GraphNode, view: GraphView): readonly GraphNode[] | undefined;
  /** Input whose buffer one of the results may take over once nobody else reads it, nor the group itself a second time. */
  inPlace?(nodes: readonly GraphNode[]): { readonly input: Value; readonly output: Value } | undefined;
}

export interface Group {
  readonly pattern: string;
  readonly nodes: readonly GraphNode[];
  readonly inPlace: { readonly input: Value; readonly output: Value } | undefined;
}

/**
 * Partitions the nodes of one segment into groups, in an order in which they can run. Patterns are tried in their order
 * at every node from the last to the first, so that a larger pattern stated earlier wins. A group is refused when a node
 * outside reads one of its results before its last node runs, when a value in `observed` would vanish inside it, or when
 * its nodes want one input in different forms (a kernel has each input once).
 */
export function fuseSegment(
  nodes: readonly GraphNode[],
  view: GraphView,
  { patterns, reads }: Pick<Capability, 'patterns' | 'reads'>,
  single: (node: GraphNode) => Group,
  observed: ReadonlySet<Value>,
): Group[] {
  const place = new Map(nodes.map((node, index) => [node, index]));
  const taken = new Map<GraphNode, Group>();
  for (const root of [...nodes].reverse()) {
    if (taken.has(root)) continue;
    for (const pattern of patterns) {
      const members = pattern.match(root, view);
      if (!members || members.length < 2) continue;
      const sorted = [...members].sort((a, b) => a.id - b.id);
      if (!sorted.every((node) => place.has(node) && !taken.has(node))) continue;
      if (!mayRunAsOne(sorted, view, observed) || !inputsAgree(sorted, reads)) continue;
      const group = { pattern: pattern.name, nodes: sorted, inPlace: safeInPlace(pattern, sorted) };
      for (const node of sorted) taken.set(node, group);
      break;
    }
  }
  const groups: Group[] = [];
  for (const node of nodes) {
    const group = taken.get(node) ?? single(node);
    if (group.nodes.at(-1) === node) groups.push(group);
  }
  return groups;
}

/** What x + f(x) writes over x would be read by f as well. */
function safeInPlace(pattern: FusionPattern, group: readonly GraphNode[]): Group['inPlace'] {
  const inPlace = pattern.inPlace?.(group);
  const reads = group.flatMap((node) => node.inputs).filter((value) => value === inPlace?.input);
  return reads.length === 1 ? inPlace : undefined;
}

function mayRunAsOne(group: readonly GraphNode[], view: GraphView, observed: ReadonlySet<Value>): boolean {
  const members = new Set(group);
  const last = group.at(-1);
  if (!last) return false;
  return group.every((node) => {
    const readers = view.readers(node.output);
    const outside = readers.filter((reader) => !members.has(reader));
    const vanishes = readers.length > 0 && outside.length === 0;
    return outside.every((reader) => reader.id > last.id) && !(vanishes && observed.has(node.output));
  });
}

function inputsAgree(group: readonly GraphNode[], reads: Capability['reads']): boolean {
  const inside = new Set(group.map((node) => node.output));
  const forms = new Map<Value, string>();
  return group.every((node) =>
    node.inputs.every((value) => {
      if (value.kind !== 'activation' || inside.has(value)) return true;
      const form = reads([node], value).name;
      const before = forms.get(value) ?? form;
      forms.set(value, before);
      return before === form;
    }),
  );
}
