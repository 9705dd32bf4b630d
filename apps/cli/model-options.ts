/** Options that every command with a model takes, and the engine they lead to. */
import { type Command, Option } from 'commander';
import { printBytes } from '../../src/base/print-bytes.ts';
import {
  type BackendName,
  backendNames,
  type CacheType,
  cacheTypes,
  defaultFallback,
  Engine,
  type FallbackName,
  fallbackNames,
  type GenerateOptions,
  type LoadOptions,
  type Priority,
  type ProposerName,
  priorityNames,
  proposerNames,
} from '../../src/index.ts';
import type { Host } from './host.ts';
import { byteCount, wholeNumber } from './option-values.ts';
import { openProgressBar } from './progress-bar.ts';
import { openTraceFile } from './trace-file.ts';

export interface ModelFlags {
  readonly backend: BackendName | 'auto';
  readonly threads?: number;
  readonly context?: number;
  readonly cacheType?: CacheType;
  readonly memoryBudget?: number;
  readonly cacheFolder?: string;
  readonly verbose?: boolean;
  readonly json?: boolean;
}

export interface DecoderFlags {
  readonly draft?: string;
  readonly decoder: ProposerName;
  readonly fallback: FallbackName;
  readonly priority: Priority;
  /** False after `--no-idle-drafting`. */
  readonly idleDrafting: boolean;
  readonly provisional?: boolean;
  readonly trace?: string;
}

export function addModelOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--backend <name>', 'where to compute; auto takes the fastest')
        .choices(['auto', ...backendNames])
        .default('auto'),
    )
    .option(
      '--threads <count>',
      'compute threads (default: all processors, at most 16; while text is generated fewer, where that is measured to be faster)',
      wholeNumber({ least: 1, most: 256 }),
    )
    .option(
      '--context <rows>',
      'tokens a conversation can hold (default: what the model was trained for)',
      wholeNumber({ least: 1 }),
    )
    .addOption(
      new Option('--cache-type <type>', 'how keys and values are kept (default: f16)').choices(cacheTypes),
    )
    .option(
      '--memory-budget <bytes>',
      'hold no more for weights, cache and activations: layers that do not fit are read from disk in each pass; 2GiB, 800MB',
      byteCount,
    )
    .option(
      '--cache-folder <path>',
      'where packed layers and downloads are kept for that (default: NEARFIELD_CACHE, or nearfield among your caches)',
    )
    .option('--verbose', 'statistics and warnings on standard error; stacks of errors')
    .option('--json', 'the result as JSON on standard output');
}

export function addDecoderOptions(command: Command): Command {
  return command
    .option(
      '--draft <model>',
      'a small model of the same vocabulary that proposes what the model verifies; path or URL',
    )
    .addOption(
      new Option('--decoder <name>', 'how tokens are proposed; the text is the same with all')
        .choices(proposerNames)
        .default('auto'),
    )
    .addOption(
      new Option(
        '--fallback <name>',
        'when the draft stops and the model verifies: cost by measured times, adaptive by confidence; chain and bush at a fixed size, to compare with',
      )
        .choices(fallbackNames)
        .default(defaultFallback),
    )
    .addOption(
      new Option('--priority <name>', 'interactive leaves gaps, so that other programs stay quick')
        .choices(priorityNames)
        .default('throughput'),
    )
    .option('--no-idle-drafting', 'let the draft rest while layers of the model are read from disk')
    .option(
      '--provisional',
      'on a terminal: show, dim, what will probably follow while the model verifies it',
    )
    .option('--trace <file>', 'write what ran when, for chrome://tracing or ui.perfetto.dev');
}

export interface LoadedModel extends AsyncDisposable {
  readonly engine: Engine;
  /** Closes the engine, then writes the trace. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Loads with a progress bar; remarks about the file go to standard error. */
export async function loadModel(
  source: string,
  flags: ModelFlags & Partial<DecoderFlags>,
  host: Host,
): Promise<LoadedModel> {
  const trace = flags.trace === undefined ? undefined : await openTraceFile(flags.trace);
  const bar = openProgressBar();
  const options: LoadOptions = {
    ...loadOptionsOf(flags),
    ...(flags.draft === undefined ? {} : { draft: flags.draft }),
    ...(flags.priority === undefined ? {} : { priority: flags.priority }),
    ...(trace ? { onTrace: trace.onTrace } : {}),
    signal: host.signal,
    onProgress({ loadedBytes, totalBytes }) {
      bar.update(
        'loading',
        loadedBytes,
        totalBytes,
        `${printBytes(loadedBytes)} of ${printBytes(totalBytes)}`,
      );
    },
  };
  try {
    const engine = await Engine.load(source, options);
    bar.clear();
    for (const warning of engine.description.warnings) host.note(`nearfield: warning: ${warning}`);
    return {
      engine,
      async [Symbol.asyncDispose]() {
        await engine.close();
        await trace?.finish();
      },
    };
  } finally {
    bar.clear();
  }
}

/** What shapes a generation's speed, in the library's words. */
export function decoderOptionsOf(
  { decoder, fallback, idleDrafting, provisional, json }: DecoderFlags & ModelFlags,
  host: Host,
): GenerateOptions {
  const shows = provisional === true && host.isOutputStyled && !json;
  return { decoder, fallback, idleDrafting, ...(shows ? { provisional: true } : {}) };
}

/** The flags in the library's words. */
export function loadOptionsOf(flags: ModelFlags): LoadOptions {
  const { backend, threads, context, cacheType, memoryBudget, cacheFolder } = flags;
  return {
    backend,
    ...(threads === undefined ? {} : { threads }),
    ...(context === undefined ? {} : { contextLength: context }),
    ...(cacheType === undefined ? {} : { cacheType }),
    ...(memoryBudget === undefined ? {} : { memoryBudget }),
    ...(cacheFolder === undefined ? {} : { cacheFolder }),
  };
}
