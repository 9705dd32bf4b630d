/** What crosses between an engine's client and its worker; all of it survives a structured clone. */
import type { DeviceWork } from '../../backend.ts';
import type {
  ChatMessage,
  Engine,
  EngineDescription,
  EstimateOptions,
  GeneratedToken,
  GenerateOptions,
  GenerationResult,
  InspectOptions,
  KeepOptions,
  KeepProgress,
  KeptModel,
  LoadOptions,
  LoadProgress,
  MachineReport,
  MemoryReport,
  ModelEstimate,
  ModelInput,
  ModelInspection,
  Prompt,
  StreamingReport,
} from '../../engine.ts';
import type { CarriedError } from './carried-error.ts';

/** A call: what is given, what is answered, what the worker reports meanwhile, what the client notes meanwhile. */
interface Call<Given, Answer, Report = never, Note = never> {
  readonly given: Given;
  readonly answer: Answer;
  readonly report: Report;
  readonly note: Note;
}

/** The worker's number for a session. */
export type SessionHandle = number;
interface OfSession {
  readonly session: SessionHandle;
}

/** Signals and callbacks do not cross: the first is a message, the others are reports. */
export type CarriedLoadOptions = Omit<LoadOptions, 'signal' | 'onProgress' | 'onTrace'>;
type Carried<Options> = Omit<Options, 'signal' | 'onProgress'>;
export type CarriedEstimateOptions = Carried<Omit<EstimateOptions, 'residentBytes'>>;
export type CarriedGenerateOptions = Omit<GenerateOptions, 'signal' | 'onPrompt'>;
export type PromptProgress = Parameters<NonNullable<GenerateOptions['onPrompt']>>[0];

export type GenerationReport =
  | { readonly tokens: readonly GeneratedToken[] }
  | { readonly prompt: PromptProgress };

/** What `ScoreOptions.onLogits` is called with. */
export interface ScoredRow {
  readonly row: number;
  readonly logits: Float32Array | Float64Array;
}

/** `taken`: the consumer is through with one more batch of tokens. `leave`: it wants no more. */
export type GenerationNote = 'taken' | 'leave';

type TextOptions<Method extends 'tokenize' | 'detokenize'> = NonNullable<Parameters<Engine[Method]>[1]>;

/** Calls that need no engine: each is answered by a function of that name. */
export interface LookCalls {
  inspect: Call<{ input: ModelInput; options: Carried<InspectOptions> }, ModelInspection>;
  estimate: Call<{ input: ModelInput; options: CarriedEstimateOptions }, ModelEstimate>;
  keep: Call<{ input: ModelInput; options: Carried<KeepOptions> }, KeptModel, KeepProgress>;
}

export interface EngineCalls extends LookCalls {
  load: Call<{ input: ModelInput; options: CarriedLoadOptions }, EngineDescription, LoadProgress>;
  tokenize: Call<{ text: string; options: TextOptions<'tokenize'> }, number[]>;
  detokenize: Call<{ ids: readonly number[]; options: TextOptions<'detokenize'> }, string>;
  render: Call<{ messages: readonly ChatMessage[] }, string>;
  memory: Call<undefined, MemoryReport>;
  changeMemoryBudget: Call<{ readonly bytes: number }, void>;
  streaming: Call<undefined, StreamingReport | undefined>;
  deviceWork: Call<undefined, DeviceWork | undefined>;
  machine: Call<undefined, MachineReport>;
  openSession: Call<undefined, SessionHandle>;
  restore: Call<{ bytes: Uint8Array }, SessionHandle>;
  tokens: Call<OfSession, readonly number[]>;
  generate: Call<
    OfSession & { prompt: Prompt; options: CarriedGenerateOptions; reportsPrompt: boolean },
    GenerationResult,
    GenerationReport,
    GenerationNote
  >;
  score: Call<
    OfSession & { ids: readonly number[]; first: number | undefined; reportsLogits: boolean },
    Float64Array,
    ScoredRow
  >;
  fork: Call<OfSession, SessionHandle>;
  truncate: Call<OfSession & { length: number }, void>;
  pause: Call<OfSession, void>;
  resume: Call<OfSession, void>;
  save: Call<OfSession, Uint8Array<ArrayBuffer>>;
  closeSession: Call<OfSession, void>;
}

export type CallName = keyof EngineCalls;

/** `call` is the client's number for it. */
export type ClientMessage =
  | { readonly kind: 'call'; readonly call: number; readonly name: CallName; readonly given: unknown }
  | { readonly kind: 'note'; readonly call: number; readonly note: unknown }
  | { readonly kind: 'abort'; readonly call: number };

/** `ready` is the first message, `alive` comes while a call takes long; `answer` or `error` is the last of a call. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'alive' }
  | { readonly kind: 'report'; readonly call: number; readonly report: unknown }
  | { readonly kind: 'answer'; readonly call: number; readonly answer: unknown }
  | { readonly kind: 'error'; readonly call: number; readonly error: CarriedError };
