/** What `auto` stands for: of the backends that open here, the one that is measured to be the fastest for this model. */
import {
  automaticBackends,
  type Backend,
  type BackendName,
  type BackendOptions,
  openBackend,
} from '../backend.ts';
import type { Cleanup } from '../base/cleanup.ts';
import { NearfieldError } from '../base/error.ts';

/** A backend that has been opened, or why not. */
export interface Candidate {
  readonly name: BackendName;
  readonly opening: Promise<Backend>;
}

export interface Choice {
  readonly name: BackendName;
  readonly backend: Backend;
  /** For people; undefined where the caller chose. */
  readonly reason: string | undefined;
}

/** Milliseconds for a piece of work that is the same on all candidates; undefined where it cannot be measured. */
export type MeasureBackend = (backend: Backend) => Promise<number | undefined>;

/** Begins to open what may be chosen from; `opened` closes all of them. */
export function startCandidates(
  wanted: BackendName | 'auto' | undefined,
  options: BackendOptions,
  opened: Cleanup,
  open: typeof openBackend = openBackend,
): Candidate[] {
  const names = wanted === undefined || wanted === 'auto' ? automaticBackends : [wanted];
  return names.map((name) => {
    const opening = open(name, options);
    // Heard of when it is waited for.
    const orNone = opening.catch(() => undefined);
    opened.add(opening, async () => (await orNone)?.close());
    return { name, opening };
  });
}

/** Where none opens the first one's failure is the caller's: that is the one that should be there in any case. */
export async function chooseBackend(
  candidates: readonly Candidate[],
  measure: MeasureBackend,
): Promise<Choice> {
  const remarks: string[] = [];
  let failure: unknown;
  const usable: { readonly name: BackendName; readonly backend: Backend }[] = [];
  for (const { name, opening } of candidates) {
    try {
      const backend = await opening;
      if (candidates.length > 1 && backend.describe().emulated) {
        remarks.push(`${name} would run on a program that stands in for a device`);
        await backend.close();
      } else {
        usable.push({ name, backend });
      }
    } catch (error) {
      failure ??= error;
      remarks.push(`${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const [only] = usable;
  if (!only)
    throw failure ?? new NearfieldError('unsupported', `No backend runs here: ${remarks.join('; ')}`);
  if (usable.length === 1) return { ...only, reason: remarks.length > 0 ? remarks.join('; ') : undefined };
  return fastest(usable, remarks, measure);
}

async function fastest(
  usable: readonly { readonly name: BackendName; readonly backend: Backend }[],
  remarks: string[],
  measure: MeasureBackend,
): Promise<Choice> {
  let best = { ms: Number.POSITIVE_INFINITY, index: 0 };
  for (const [index, { name, backend }] of usable.entries()) {
    try {
      const ms = await measure(backend);
      remarks.push(
        ms === undefined ? `${name} cannot be measured with this model` : `${name} takes ${ms.toFixed(0)} ms`,
      );
      if (ms !== undefined && ms < best.ms) best = { ms, index };
    } catch (error) {
      remarks.push(`${name} failed: ${error instanceof Error ? error.message : error}`);
    }
  }
  const others = usable.filter((_, index) => index !== best.index);
  await Promise.all(others.map(({ backend }) => backend.close()));
  const chosen = usable[best.index] as (typeof usable)[number];
  return { ...chosen, reason: `for 256 tokens of a prompt and 128 more ${remarks.join(', ')}` };
}
