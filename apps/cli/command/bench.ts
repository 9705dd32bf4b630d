/** `bench`: prompt and decode speed of models on this machine. */
import { type Command, Option } from 'commander';
import { type MachineRates, openBackend } from '../../../src/backend.ts';
import { type BackendName, backendNames, type CacheType, cacheTypes, Engine } from '../../../src/index.ts';
import { deviceUse } from '../../bench/device-use.ts';
import type { ModelShapeName } from '../../bench/model-shapes.ts';
import { measureModel, rowsNeeded, type SpeedPlan } from '../../bench/model-speed.ts';
import { shapeFile, shapeNames } from '../../bench/shape-file.ts';
import { type BenchResult, type BenchTable, benchReport } from '../bench-report.ts';
import { UsageError } from '../failure.ts';
import type { Host } from '../host.ts';
import { describeMachine } from '../machine-description.ts';
import { byteCount, wholeNumber, wholeNumbers } from '../option-values.ts';
import { runOwnCommand } from '../own-process.ts';
import { peakResidentBytes } from '../process-memory.ts';
import { openProgressBar } from '../progress-bar.ts';

interface BenchFlags {
  readonly prompt: number;
  readonly generate: number;
  readonly depth: readonly number[];
  readonly threads?: readonly number[];
  readonly backend: readonly string[];
  readonly shape?: readonly ModelShapeName[];
  readonly format: readonly string[];
  readonly repeat: number;
  readonly cacheType?: CacheType;
  readonly memoryBudget?: number;
  readonly json?: boolean;
}

/** What one process measures: memory is not told apart within one. */
interface Configuration {
  readonly model: string;
  readonly backend: BackendName | 'auto';
  readonly threads: number | undefined;
}

const list = (text: string): string[] => text.split(',').map((part) => part.trim());

export function addBenchCommand(program: Command, host: Host): void {
  const isBackend = (name: string): boolean =>
    name === 'auto' || (backendNames as readonly string[]).includes(name);
  const named = (
    parts: readonly string[],
    known: (part: string) => boolean,
    names: readonly string[],
  ): string[] => {
    const wrong = parts.find((part) => !known(part));
    if (wrong !== undefined) throw new UsageError(`there is no '${wrong}'; choose from ${names.join(', ')}`);
    return [...parts];
  };
  program
    .command('bench')
    .description('prompt and decode speed, with their spread, and memory')
    .argument('[models...]', 'paths or URLs of GGUF files, or of folders that transformers saved')
    .option('--prompt <tokens>', 'length of the prompt; 0: none', wholeNumber(), 512)
    .option('--generate <tokens>', 'tokens to decode; 0: none', wholeNumber(), 128)
    .addOption(
      new Option('--depth <tokens>', 'tokens in the context before; several with commas')
        .argParser(wholeNumbers())
        .default([0], '0'),
    )
    .option(
      '--threads <counts>',
      'compute threads; several with commas',
      wholeNumbers({ least: 1, most: 256 }),
    )
    .addOption(
      new Option('--backend <names>', 'backends; several with commas')
        .argParser((text) => named(list(text), isBackend, ['auto', ...backendNames]))
        .default(['auto'], 'auto'),
    )
    .option(
      '--shape <names>',
      `random weights of these shapes instead of files: ${shapeNames.join(', ')}`,
      (text) => named(list(text), (part) => (shapeNames as readonly string[]).includes(part), shapeNames),
    )
    .addOption(
      new Option('--format <names>', 'with --shape: number formats, or the mix q4_k_m')
        .argParser(list)
        .default(['q4_0'], 'q4_0'),
    )
    .option('--repeat <count>', 'timed runs of each, after one that is not', wholeNumber({ least: 1 }), 5)
    .addOption(new Option('--cache-type <type>', 'as for run').choices(cacheTypes))
    .option('--memory-budget <bytes>', 'as for run', byteCount)
    .addOption(new Option('--verbose', 'stacks of errors'))
    .option('--json', 'everything measured, as JSON; what failed on a line of its own')
    .addHelpText(
      'after',
      `
Every model, backend and number of threads is measured in a process of its own, so that memory can be told apart. Files
of random weights are kept in the system's temporary folder.

Examples:
  $ nearfield bench model.gguf --threads 1,2 --depth 0,512,4096
  $ nearfield bench --shape 134m,tinyllama-1.1b --format q4_0`,
    )
    .action((models: string[], flags: BenchFlags) => bench(models, flags, host));
}

async function bench(models: readonly string[], flags: BenchFlags, host: Host): Promise<void> {
  if (flags.prompt === 0 && flags.generate === 0)
    throw new UsageError('nothing is left to measure: --prompt and --generate are both 0');
  const files = [...models, ...(await madeFiles(flags, host))];
  if (files.length === 0) throw new UsageError('give a model, or --shape for one of random weights');
  const threadCounts = flags.threads ?? [undefined];
  const configurations = files.flatMap((model) =>
    flags.backend.flatMap((backend) =>
      threadCounts.map((threads): Configuration => ({ model, backend: backend as BackendName, threads })),
    ),
  );
  const [only] = configurations;
  const results: BenchResult[] = [];
  let failure: unknown;
  const machine = describeMachine();
  if (only && configurations.length === 1) {
    results.push(await measure(only, flags, host));
  } else {
    const bar = openProgressBar();
    for (const configuration of configurations) {
      bar.update('measuring', results.length, configurations.length, configuration.model);
      try {
        results.push(await measureApart(configuration, flags, host));
      } catch (error) {
        if (host.signal.aborted) throw error;
        // The others are measured all the same.
        failure ??= error;
      }
    }
    bar.clear();
  }
  const table: BenchTable = { machine, results };
  if (results.length > 0) await host.write(flags.json ? `${JSON.stringify(table)}\n` : benchReport(table));
  if (failure !== undefined) throw failure;
}

async function madeFiles(flags: BenchFlags, host: Host): Promise<string[]> {
  const paths: string[] = [];
  for (const shape of flags.shape ?? []) {
    for (const format of flags.format) {
      const onMake = (path: string): void => host.note(`making ${path}`);
      paths.push(await shapeFile(shape, format, { signal: host.signal, onMake }));
    }
  }
  return paths;
}

/** In this process. */
async function measure(
  { model, backend, threads }: Configuration,
  flags: BenchFlags,
  host: Host,
): Promise<BenchResult> {
  const bar = openProgressBar();
  const plan: SpeedPlan = {
    promptTokens: flags.prompt,
    generatedTokens: flags.generate,
    depths: flags.depth,
    repeats: flags.repeat,
    signal: host.signal,
  };
  await using engine = await Engine.load(model, {
    backend,
    ...(threads === undefined ? {} : { threads }),
    ...(flags.cacheType === undefined ? {} : { cacheType: flags.cacheType }),
    ...(flags.memoryBudget === undefined ? {} : { memoryBudget: flags.memoryBudget }),
    contextLength: rowsNeeded(plan),
    signal: host.signal,
    onProgress: ({ loadedBytes, totalBytes }) => bar.update('loading', loadedBytes, totalBytes),
  });
  const loadedPeakBytes = peakResidentBytes();
  try {
    let kvCacheBytes = 0;
    const onRun = async (done: number, total: number): Promise<void> => {
      bar.update('measuring', done, total);
      kvCacheBytes = Math.max(kvCacheBytes, (await engine.memory()).kvCacheBytes);
    };
    const speeds = await measureModel(engine, { ...plan, onRun });
    const { description } = engine;
    const { weightsBytes, arenaBytes } = await engine.memory();
    const peakRssBytes = peakResidentBytes();
    const besideBytes = peakRssBytes - weightsBytes - kvCacheBytes - arenaBytes;
    const rates = await machineRates(description.backend);
    return {
      model: description.source,
      architecture: description.architecture,
      parameterCount: description.parameterCount,
      fileBytes: description.fileBytes,
      backend: description.backend,
      threads: description.threads,
      perToken: description.perToken,
      ...(rates ? { rates } : {}),
      loadMs: description.loadMs,
      memory: { weightsBytes, kvCacheBytes, arenaBytes, loadedPeakBytes, peakRssBytes, besideBytes },
      speeds: speeds.map((speed) => {
        const { perToken } = description;
        return perToken && rates ? { ...speed, use: deviceUse(speed, perToken, rates) } : speed;
      }),
    };
  } finally {
    bar.clear();
  }
}

/** What the backend's machine does at best, where it can be told. */
async function machineRates(name: BackendName): Promise<MachineRates | undefined> {
  const backend = await openBackend(name, { threads: 1 });
  try {
    return await backend.measureRates?.();
  } finally {
    await backend.close();
  }
}

/** In a process of its own, with this command's options. */
async function measureApart(
  configuration: Configuration,
  flags: BenchFlags,
  host: Host,
): Promise<BenchResult> {
  const { model, backend, threads } = configuration;
  const parameters = [
    ...['bench', model, '--json', '--backend', backend],
    ...['--prompt', `${flags.prompt}`, '--generate', `${flags.generate}`],
    ...['--depth', flags.depth.join(','), '--repeat', `${flags.repeat}`],
    ...(threads === undefined ? [] : ['--threads', `${threads}`]),
    ...(flags.cacheType === undefined ? [] : ['--cache-type', flags.cacheType]),
    ...(flags.memoryBudget === undefined ? [] : ['--memory-budget', `${flags.memoryBudget}`]),
  ];
  const { results } = JSON.parse(await runOwnCommand(parameters, host.signal)) as BenchTable;
  const [result] = results;
  if (!result) throw new Error(`measuring ${model} gave no result`);
  return result;
}
