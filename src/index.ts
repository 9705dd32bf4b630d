/** Nearfield: large language models on the user's own device. What users may import. */
import { type Engine as LoadedEngine, loadEngine } from './engine.ts';

export { architectureNames } from './architecture.ts';
export { type BackendName, backendNames, type DeviceWork } from './backend.ts';
export { type ErrorCode, NearfieldError } from './base/error.ts';
export type { ByteSource } from './checkpoint.ts';
export {
  type DecodeFinish,
  defaultFallback,
  type FallbackName,
  fallbackNames,
  type ProposerName,
  proposerNames,
  type SamplingOptions,
  type SpeculationStats,
  type TokenLogprob,
} from './decoder.ts';
export * from './engine.ts';
export { formats } from './format.ts';
export { type CacheType, cacheTypes } from './graph.ts';

/** A loaded model. */
export type Engine = LoadedEngine;

/** `Engine.load(model, options)` loads a model from a path, URL, Blob or bytes. */
export const Engine = { load: loadEngine } as const;
