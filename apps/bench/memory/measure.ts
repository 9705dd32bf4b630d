/** Measures sets of contenders on a pair, one after the other, each in a process of its own. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { packageFolder } from '../../cli/package-files.ts';
import { disturbingLoad, untilQuiet, watchForeignLoad } from '../foreign-load.ts';
import { modelShapes } from '../model-shapes.ts';
import { promptIds } from '../peers/contender.ts';
import { install } from '../peers/install.ts';
import { agreement } from './agreement.ts';
import { dropCachedPages } from './cached-pages.ts';
import type { RunSpec, TextSpec } from './contender.ts';
import { diskRate, readingWays } from './disk-rate.ts';
import { type MemoryGroup, openMemoryGroup } from './memory-group.ts';
import type { ModelPair, PairRecipe } from './pair.ts';
import type { DiskRate, Measured, MeasuredMemory, MemoryShares } from './results.ts';
import { type ContenderRun, runContender } from './run-contender.ts';
import { nativeNames, quotingWays, residentWays, streamedWays, type Way } from './ways.ts';

export interface MeasureOptions {
  readonly recipe: PairRecipe;
  readonly pair: ModelPair;
  readonly threads: number;
  /** Emptied first. */
  readonly cacheFolder: string;
  /** Names of ways; all where there are none. */
  readonly wanted: readonly string[];
  /** Per text. */
  readonly tokens: number;
  readonly plainTokens: number;
  readonly nativeTokens: number;
  /** Runs of each, at most, until one is alone on the machine. */
  readonly tries: number;
  readonly say: (line: string) => void;
  /** Told after each run. */
  readonly onMeasured: () => void;
}

/** The target file is so many times what its weights may take. */
const overBudget = 2.5;
const contextRows = 512;
const promptRows = 48;
/** Texts that count; one more warms up. */
const textCount = 2;
/** Of that one: what a draft is known by, and what plain decoding needs. */
const [warmTokens, plainWarmTokens] = [48, 3];
/** How long each run waits for other programs to leave the machine. */
const quietMs = 3000;
/** While a child's memory is bounded by nothing. */
const unboundedBytes = 2 ** 42;

interface Bounds {
  readonly group: MemoryGroup;
  readonly limitBytes: number;
}

export class Measurer {
  readonly #options: MeasureOptions;
  readonly #group: MemoryGroup | string;
  readonly #measured: Measured[] = [];
  readonly #rates: DiskRate[] = [];
  readonly #remarks: string[] = [];
  #shares: MemoryShares | undefined;
  /** The target's own tokens, by text, as far as they are known. */
  readonly #said: (readonly number[])[] = [];
  /** What the quoting target said after the same prompts. */
  #quoted: readonly (readonly number[])[] | undefined;

  constructor(options: MeasureOptions) {
    this.#options = options;
    this.#group = openMemoryGroup();
  }

  async streamed(): Promise<void> {
    const { pair, say, nativeTokens, threads } = this.#options;
    const group = this.#group;
    if (typeof group === 'string') {
      say(`streaming is skipped: ${group}`);
      return;
    }
    const shares = await this.#measureShares(group);
    const { limitBytes } = shares;
    const ways = this.#chosen(streamedWays);
    // The tokens that llama.cpp is fed with come from the first of them; and the sidecar is made in a run of its own.
    await this.#makeSidecar(shares);
    for (const way of ways) {
      const spec = this.#specOf(way, this.#budgetOf(way, shares));
      await this.#run('streamed', way.name, spec, { group, limitBytes });
    }
    if (this.#wants('native') && install('native', say)) {
      const texts = this.#texts(plainWarmTokens, nativeTokens).map((text, index) => {
        return { ...text, given: (this.#said[index] ?? []).slice(0, text.tokens) };
      });
      for (const file of ['target', 'wideTarget'] as const) {
        const spec = { kind: 'native', modelPath: pair[file], threads, contextRows, texts } as const;
        await this.#run('streamed', nativeNames[file], spec, { group, limitBytes });
      }
    }
  }

  async resident(): Promise<void> {
    for (const way of this.#chosen(residentWays)) {
      await this.#run('resident', way.name, this.#specOf(way, undefined));
    }
  }

  /** Prompts that begin a text a second time: the target goes on much as it did the first time. */
  async quoting(): Promise<void> {
    const { tokens, pair } = this.#options;
    const spec = { ...this.#specOf(quotingWays.plain, undefined), modelPath: pair.quotingTarget };
    this.#quoted ??= (await runContender({ ...spec, texts: this.#texts(tokens, tokens) })).tokens;
    const texts = this.#quoted.map((said, index): TextSpec => {
      return { prompt: [...promptOf(index), ...said, ...promptOf(index)], tokens };
    });
    for (const way of this.#chosen(quotingWays)) {
      const own = { ...this.#specOf(way, undefined), modelPath: pair.quotingTarget, texts };
      await this.#run('quoting', way.name, own);
    }
  }

  /** How often the draft would have said what the target did; undefined where it said nothing yet. */
  async agreement(): Promise<number | undefined> {
    const { threads, pair } = this.#options;
    const texts = this.#said.map((tokens, index) => ({ prompt: promptOf(index), tokens }));
    return texts.length > 0 ? agreement(pair.draft, texts, threads) : undefined;
  }

  results(): Omit<MeasuredMemory, 'machine' | 'measuredAt' | 'agreement'> {
    const { recipe, threads } = this.#options;
    return {
      ...{ recipe, threads, measured: this.#measured, rates: this.#rates, shares: this.#shares },
      groups: typeof this.#group === 'string' ? this.#group : this.#group.version,
      remarks: this.#remarks,
    };
  }

  close(): void {
    if (typeof this.#group !== 'string') this.#group.close();
  }

  #wants(name: string): boolean {
    const { wanted } = this.#options;
    return wanted.length === 0 || wanted.includes(name);
  }

  #chosen(ways: Readonly<Record<string, Way>>): Way[] {
    return Object.entries(ways).flatMap(([name, way]) => (this.#wants(name) ? [way] : []));
  }

  #texts(warm: number, tokens: number): TextSpec[] {
    return Array.from({ length: textCount + 1 }, (_, index) => {
      return { prompt: promptOf(index), tokens: index === 0 ? warm : tokens };
    });
  }

  #specOf(way: Way, memoryBudget: number | undefined): RunSpec & { kind: 'nearfield' } {
    const { pair, threads, cacheFolder, tokens, plainTokens } = this.#options;
    const isSlow = way.isPlain && memoryBudget !== undefined;
    const { decoder, fallback, idleDrafting, hasDraft } = way;
    return {
      ...{ kind: 'nearfield', modelPath: pair.target, threads, contextRows, cacheFolder, decoder },
      texts: isSlow ? this.#texts(plainWarmTokens, plainTokens) : this.#texts(warmTokens, tokens),
      ...(hasDraft ? { draftPath: pair.draft } : {}),
      ...(fallback ? { fallback } : {}),
      ...(idleDrafting === undefined ? {} : { idleDrafting }),
      ...(memoryBudget === undefined ? {} : { memoryBudget }),
    };
  }

  #budgetOf(way: Way, { weightsBytes, draftBytes, cacheBytes }: MemoryShares): number {
    return weightsBytes + cacheBytes + (way.hasDraft || way.hasDraftsMemory ? draftBytes : 0);
  }

  /** Again where other programs were in the way; what was measured best alone is reported. */
  async #run(set: Measured['set'], name: string, spec: RunSpec, bounds?: Bounds): Promise<void> {
    const { pair, cacheFolder, say, tries } = this.#options;
    for (let attempt = 0; attempt < tries; attempt++) {
      await untilQuiet(quietMs);
      const diskBytesPerSecond = bounds && (await this.#readDisk());
      if (bounds) dropCachedPages([...Object.values(pair), cacheFolder]);
      const foreignLoad = watchForeignLoad();
      try {
        const run = await runContender(spec, bounds);
        const { about, tally, heldBytes, peakBytes, bytesPerPass, residentLayers } = run;
        if (set !== 'quoting') this.#compare(name, run);
        const load = foreignLoad() ?? 0;
        this.#measured.push({
          ...{ set, name, about, tally, heldBytes, peakBytes, bytesPerPass, residentLayers },
          ...{ foreignLoad: load, diskBytesPerSecond },
        });
        const rate = ((1000 * tally.tokens) / tally.ms).toFixed(2);
        say(`${set}, ${name}: ${rate} tokens/s, others ${(100 * load).toFixed(0)} %`);
        this.#options.onMeasured();
        if (load <= disturbingLoad) return;
      } catch (error) {
        const remark = `${set}, ${name}: ${(error as Error).message.split('\n').at(-1)}`;
        this.#remarks.push(remark);
        say(remark);
        return;
      }
    }
  }

  /** Whoever said less must have said the beginning of what others said. */
  #compare(name: string, { tokens }: ContenderRun): void {
    for (const [index, said] of tokens.entries()) {
      const before = this.#said[index] ?? [];
      const shared = Math.min(before.length, said.length);
      if (said.slice(0, shared).some((id, place) => id !== before[place])) {
        throw new Error(`${name} says another text than the others`);
      }
      if (said.length > before.length) this.#said[index] = said;
    }
  }

  /** The best of several ways to read the file that is streamed, from its beginning to its end. */
  async #readDisk(): Promise<number> {
    const { cacheFolder } = this.#options;
    const [file = ''] = readdirSync(cacheFolder);
    let best = 0;
    for (const way of readingWays) {
      const bytesPerSecond = await diskRate(join(cacheFolder, file), way);
      this.#rates.push({ ...way, bytesPerSecond });
      best = Math.max(best, bytesPerSecond);
    }
    return best;
  }

  /** In a process without a limit, from the beginning. */
  async #makeSidecar(shares: MemoryShares): Promise<void> {
    const { cacheFolder, say } = this.#options;
    rmSync(cacheFolder, { recursive: true, force: true });
    mkdirSync(cacheFolder, { recursive: true });
    const way = streamedWays.plain;
    const spec = { ...this.#specOf(way, this.#budgetOf(way, shares)), texts: [] };
    const began = performance.now();
    await runContender(spec);
    say(`sidecar made in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  }

  async #measureShares(group: MemoryGroup): Promise<MemoryShares> {
    if (this.#shares) return this.#shares;
    const { recipe, pair, threads, cacheFolder, say } = this.#options;
    const { layers, keyValueHeads, hidden, heads } = modelShapes[recipe.shape];
    const small = join(packageFolder(), 'models', 'fable', 'fable-1m-q8_0.gguf');
    const texts = [{ prompt: promptIds(8).map((id) => id % 256), tokens: 8 }];
    const empty = await runContender(
      {
        ...{ kind: 'nearfield', modelPath: small, threads, contextRows: 64, cacheFolder, texts },
        decoder: 'plain',
      },
      { group, limitBytes: unboundedBytes },
    );
    const [target, draft] = [await stat(pair.target), await stat(pair.draft)];
    const emptyBytes = (empty.peakBytes ?? 0) - empty.heldBytes;
    const weightsBytes = Math.floor(target.size / overBudget);
    // Keys and values in halves, of the target and the draft.
    const rowBytes = 4 * keyValueHeads * (hidden / heads);
    const cacheBytes = (layers + recipe.firstLayers) * rowBytes * contextRows;
    const shares = {
      ...{ targetBytes: target.size, weightsBytes, draftBytes: draft.size, cacheBytes, emptyBytes },
      limitBytes: weightsBytes + draft.size + cacheBytes + emptyBytes,
    };
    say(
      Object.entries(shares)
        .map(([name, bytes]) => `${name} ${(bytes / 1e6).toFixed(1)} MB`)
        .join(', '),
    );
    this.#shares = shares;
    return shares;
  }
}

/** The same words for all, other ones in each text. */
function promptOf(index: number): number[] {
  return promptIds(promptRows, 5000 * index);
}
