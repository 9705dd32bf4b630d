/**
 * Looking at a model without loading it. The code for it is fetched when it is asked for: most programs never do. A page has
 * a worker do it.
 */
import { isPage } from '../base/platform.ts';
import type { ModelInput } from '../engine.ts';
import { askWorker } from './channel/ask-worker.ts';
import type { EstimateOptions, ModelEstimate } from './estimate.ts';
import type { SpeculationEstimate } from './estimate-speculation.ts';
import type { InspectOptions, ModelInspection } from './inspect.ts';

export type { EstimateOptions, ModelEstimate, StreamingEstimate } from './estimate.ts';
export type { SpeculationEstimate } from './estimate-speculation.ts';
export type { InspectOptions, ModelInspection } from './inspect.ts';

/** Metadata, tensors and vocabulary of a file, from its header alone. */
export async function inspectModel(
  input: ModelInput,
  options: InspectOptions = {},
): Promise<ModelInspection> {
  if (isPage) return askWorker('inspect', input, options);
  return (await import('./inspect.ts')).inspectModel(input, options);
}

/** Whether a model fits and how fast it will be, from its header and about a second of measuring this machine. */
export async function estimateModel(
  input: ModelInput,
  options: EstimateOptions = {},
): Promise<ModelEstimate> {
  const { residentBytes: _, ...carried } = options;
  if (isPage) return askWorker('estimate', input, carried);
  return (await import('./estimate.ts')).estimateModel(input, options);
}

/** What a draft costs, and from which acceptance on it pays, from the headers and some seconds of measuring. */
export async function estimateSpeculation(
  input: ModelInput,
  draft: ModelInput,
  options: EstimateOptions = {},
): Promise<SpeculationEstimate> {
  return (await import('./estimate-speculation.ts')).estimateSpeculation(input, draft, options);
}
