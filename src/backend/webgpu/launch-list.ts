/** Launches of a segment as they are made: where operands, weights and pages are, for one number of rows. */
import { known, NearfieldError } from '../../base/error.ts';
import type { NumberFormat } from '../../format.ts';
import type { GraphNode, Operation, OperationName, Value } from '../../graph.ts';
import type { Kernel, Operand, Plan, Segment } from '../../plan.ts';
import { evaluateDim, type TensorType } from '../../tensor.ts';
import type { DeviceProfile } from './profile.ts';
import type { KernelText } from './shader/kernel.ts';
import { type WeightPart, type WeightSize, weightSize } from './weight-layout.ts';

/** What a binding of a launch is. */
export type Bound =
  | { readonly kind: 'arena' }
  | { readonly kind: 'step' }
  | { readonly kind: 'weight'; readonly weight: number; readonly part: number }
  | { readonly kind: 'bank'; readonly bank: number }
  /** Words that never change. */
  | { readonly kind: 'constant'; readonly words: Uint32Array<ArrayBuffer> }
  /** Room within the program that lives as long as it; the launches of a program share it. */
  | { readonly kind: 'scratch'; readonly byteLength: number };

export interface Launch {
  readonly kernel: KernelText;
  readonly bound: readonly Bound[];
  /** Words by the names of the kernel's parameters. */
  readonly params: Readonly<Record<string, number>>;
  readonly groups: readonly [number, number, number];
  /** Multiplications, about: what its time goes by. */
  readonly work: number;
}

export type NodeOf<Name extends OperationName> = GraphNode & {
  readonly operation: Extract<Operation, { op: Name }>;
};

export const nodesOf = <Name extends OperationName>(kernel: Kernel, op: Name): NodeOf<Name>[] =>
  kernel.nodes.filter((node): node is NodeOf<Name> => node.operation.op === op);

export const nodeOf = <Name extends OperationName>(kernel: Kernel, op: Name): NodeOf<Name> =>
  known(nodesOf(kernel, op)[0], `${op} in ${kernel.pattern}`);

export const arena: Bound = { kind: 'arena' };
export const step: Bound = { kind: 'step' };
/** Bound where there is no bias. */
export const nothing: Bound = { kind: 'constant', words: new Uint32Array(4) };

/** Rows up to which work is spread over the whole device at the price of bringing it together. */
export const fewRows = 16;

export interface Weight {
  readonly number: number;
  readonly type: TensorType<NumberFormat>;
  readonly size: WeightSize;
}

export interface LaunchSite {
  readonly segment: Segment;
  readonly plan: Plan;
  readonly profile: DeviceProfile;
  /** Buffers that cache pages lie in. */
  readonly banks: number;
  /** Values of the graph's symbols. */
  readonly symbols: readonly number[];
}

/** No kernel of this device does what is asked. */
export class NoKernelError extends NearfieldError {}

export class LaunchList {
  readonly launches: Launch[] = [];
  readonly site: LaunchSite;

  constructor(site: LaunchSite) {
    this.site = site;
  }

  launch(
    kernel: KernelText,
    bound: readonly Bound[],
    params: Readonly<Record<string, number>>,
    groups: Launch['groups'],
    work = 64 * groups[0] * groups[1] * groups[2],
  ): void {
    if (groups.includes(0)) return;
    this.expectRight([kernel], kernel.key);
    this.launches.push({ kernel, bound, params, groups, work });
  }

  /** The first that this device has not been seen to compute wrongly. Throws `backend` where it does so with all of them. */
  expectRight(candidates: readonly KernelText[], what: string): KernelText {
    const { wrongKernels } = this.site.profile;
    const found = candidates.find(({ key }) => !wrongKernels.has(key));
    if (found) return found;
    throw new NoKernelError('unsupported', `The GPU's driver computes ${what} wrongly; use another backend`);
  }

  /** So many threads or workgroups in x and y. */
  spread(groups: number): [number, number, number] {
    const most = this.site.profile.workgroups;
    return groups <= most ? [groups, 1, 1] : [most, Math.ceil(groups / most), 1];
  }

  threads(count: number): [number, number, number] {
    return this.spread(Math.ceil(count / 64));
  }

  size(value: Value, axis: number): number {
    return evaluateDim(known(value.type.shape[axis], `size of ${value.name}`), this.site.symbols);
  }

  /** Where an activation is in the arena, in float32 values. */
  place(operands: readonly Operand[], value: Value | undefined): number {
    const operand = operands.find((candidate) => candidate.value === value);
    return evaluateDim(known(operand, `place of ${value?.name}`).offset, this.site.symbols) / 4;
  }

  weight(value: Value | undefined): Weight {
    const number = this.site.segment.weights.findIndex(({ name }) => name === value?.name);
    const { type } = known(this.site.segment.weights[number], `weight ${value?.name}`);
    return { number, type, size: weightSize(type, this.site.profile.bindingBytes) };
  }

  /** A weight of one part. */
  vector(value: Value | undefined): Bound {
    return { kind: 'weight', weight: this.weight(value).number, part: 0 };
  }

  get rows(): number {
    return known(this.site.symbols[0], 'rows');
  }

  get bankBounds(): Bound[] {
    return Array.from({ length: this.site.banks }, (_, bank) => ({ kind: 'bank', bank }));
  }
}

/** Where the planes, scales and factors of a part begin, in words. */
export function partWords(part: WeightPart, name: string): Record<string, number> {
  return {
    [`${name}plane0`]: (part.planes[0] ?? 0) / 4,
    [`${name}plane1`]: (part.planes[1] ?? 0) / 4,
    [`${name}scales`]: part.scales / 4,
    [`${name}factors`]: part.factors / 4,
  };
}
