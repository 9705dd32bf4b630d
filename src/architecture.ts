/** Architectures: one file per model family. Each reads its configuration, names its weights and builds its graph. */
import type { Checkpoint } from './checkpoint.ts';
import type { Graph } from './graph.ts';

export { architectureNames, openModel } from './architecture/open.ts';

/** What the rest of the engine needs to know of a model, whatever its family. */
export interface ModelDescription {
  /** `general.architecture` of the checkpoint. */
  readonly architecture: string;
  readonly name: string;
  readonly vocabularySize: number;
  /** Positions the model was trained for. */
  readonly contextLength: number;
  readonly layerCount: number;
  readonly hiddenSize: number;
  readonly parameterCount: number;
  /** Of them those that a token is computed with: all but the experts that are not chosen for it. */
  readonly activeParameterCount: number;
}

export interface GraphLimits {
  readonly maxRows: number;
  readonly maxSelected: number;
  /** Rows a sequence may have; those the model was trained for unless said. */
  readonly contextLength?: number;
}

export interface Model {
  readonly description: ModelDescription;
  /** Builds the graph; cheap, deterministic, reads no weights. */
  build(limits: GraphLimits): Graph;
}

/** A member of the table. */
export interface Architecture {
  /** Values of `general.architecture` it answers to. */
  readonly names: readonly string[];
  /** Reads and checks the configuration; throws `bad-file` naming the key or tensor that is missing or wrong. May read small tensors (rope factors). */
  open(checkpoint: Checkpoint, signal?: AbortSignal): Promise<Model>;
}
