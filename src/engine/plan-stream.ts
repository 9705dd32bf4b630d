/** How a model is run that a budget does not hold: which layers stay, which are streamed, and for how long a context. */
import type { Model } from '../architecture.ts';
import { NearfieldError } from '../base/error.ts';
import { workspaceBytes } from '../executor.ts';
import type { CacheType } from '../graph.ts';
import { fullCacheBytes } from '../kv-cache.ts';
import { type Capability, makePlan, type Plan } from '../plan.ts';
import { type BudgetShares, decideResidency, planForResidency, type Residency } from '../weights.ts';
import { selectedRows } from './pass-bounds.ts';

/** Rows of cache that a model has room for where the caller states no context: what they take is no layer's. */
const roomyRows = 2048;
const fewestContextRows = 256;
/**
 * A pass reads every streamed layer once, however many rows it has, so more rows are cheaper by the row until they compute
 * for longer than the layers are read: at 250 G multiplications a second and 2 GB/s that is at about 35 rows of 4-bit
 * weights, and grows with the processor. The default of 512 is beyond that on most machines.
 */
const fewestChunkRows = 32;

export interface StreamPlan {
  readonly plan: Plan;
  readonly residency: Residency;
  readonly contextLength: number;
  readonly maxRows: number;
}

export interface StreamRequest {
  readonly model: Model;
  readonly capability: Capability;
  readonly cacheType: CacheType;
  /** As the caller stated them. */
  readonly contextLength: number | undefined;
  readonly maxRows: number | undefined;
  /** Rows of a pass where none are stated. */
  readonly mostRows: number;
  /** Of the budget: what there is, and what others hold by now. */
  readonly shares: Pick<BudgetShares, 'limitBytes' | 'heldBytes'>;
  /** What others will hold later, for a context of so many rows. */
  readonly othersLater: (contextLength: number) => number;
}

/**
 * As much as fits of what was not stated: first passes get fewer rows, then the context. Throws `out-of-budget` with the
 * budget that would do for the least.
 */
export function planStream(request: StreamRequest): StreamPlan {
  const trained = request.model.description.contextLength;
  const contexts = halvings(request.contextLength, Math.min(trained, roomyRows), fewestContextRows);
  const chunks = halvings(request.maxRows, request.mostRows, fewestChunkRows);
  const narrowest = chunks.at(-1) ?? request.mostRows;
  const [longest = trained] = contexts;
  const attempts = [
    ...chunks.map((maxRows) => ({ maxRows, contextLength: longest })),
    ...contexts.slice(1).map((contextLength) => ({ maxRows: narrowest, contextLength })),
  ];
  let refusal: unknown;
  let single: StreamPlan | undefined;
  for (const { maxRows, contextLength } of attempts) {
    try {
      const found = attempt(request, maxRows, contextLength);
      // With one slot nothing is read while it computes: smaller passes may leave room for another.
      if (found.residency.slots > 1 || found.residency.streamed.length === 1) return found;
      single ??= found;
    } catch (error) {
      if (!(error instanceof NearfieldError && error.code === 'out-of-budget')) throw error;
      refusal = error;
    }
  }
  if (single) return single;
  throw refusal;
}

/** What was stated alone; else from `most` down by halves. */
function halvings(stated: number | undefined, most: number, least: number): number[] {
  if (stated !== undefined) return [stated];
  const values = [most];
  for (let value = most >> 1; value >= least; value >>= 1) values.push(value);
  return values;
}

function attempt(request: StreamRequest, maxRows: number, contextLength: number): StreamPlan {
  const { model, capability, cacheType, shares, othersLater } = request;
  const graph = model.build({
    ...{ maxRows, maxSelected: Math.min(maxRows, selectedRows), contextLength },
  });
  const plan = makePlan(graph, capability, { cacheType, cut: 'layers', contextRows: contextLength });
  const laterBytes =
    workspaceBytes(plan, contextLength) +
    capability.programBytes(plan) +
    fullCacheBytes(plan.cache, contextLength) +
    othersLater(contextLength);
  const residency = decideResidency(plan, capability, maxRows, { ...shares, laterBytes });
  return { plan: planForResidency(plan, residency), residency, contextLength, maxRows };
}
