/**
 * How often a target says what its draft proposes, by fallback: `node apps/bench/acceptance.ts [--write] [TEXT…]` with
 * `fable-4m` and `fable-1m`. Texts are cut in prompts, the model goes on from each. What passes take is stated, not
 * measured (the pair is too small for its times to mean anything), so that a run gives the same figures everywhere.
 * `--write` puts the table into docs/speculation.md.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type DraftModel,
  decode,
  type FallbackName,
  openProposer,
  type ProposerName,
  type SamplingOptions,
} from '../../src/decoder.ts';
import type { Executor, Step } from '../../src/executor.ts';
import { Engine } from '../../src/index.ts';
import { packageFolder } from '../cli/package-files.ts';
import { writeMarkedSection } from './marked-section.ts';
import { type ModelBelowEngine, openModelBelowEngine } from './model-below-engine.ts';

/** Milliseconds of a pass by its rows. */
interface Times {
  readonly name: string;
  readonly target: (rows: number) => number;
  readonly draft: (rows: number) => number;
}

const streamed: Times = {
  name: 'streamed',
  target: (rows) => Math.max(300, 20 + 10 * rows),
  draft: (rows) => 12 + 3 * rows,
};
const resident: Times = {
  name: 'in memory',
  target: (rows) => 60 + 25 * rows,
  draft: (rows) => 8 + 3 * rows,
};

interface Way {
  readonly decoder: ProposerName;
  readonly fallback?: FallbackName;
  readonly times: Times;
}

const ways: readonly Way[] = [
  { decoder: 'lookup', times: streamed },
  ...(['chain', 'bush', 'adaptive', 'cost'] as const).map((fallback) => {
    return { decoder: 'tree', fallback, times: streamed } as const;
  }),
  { decoder: 'tree', fallback: 'cost', times: resident },
];

const samplings: readonly { readonly name: string; readonly sampling: SamplingOptions }[] = [
  { name: 'greedy', sampling: {} },
  { name: '0.8', sampling: { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05 } },
];

const [promptTokens, newTokens, promptsPerText] = [64, 128, 8];
const contextLength = promptTokens + newTokens + 8;

const root = packageFolder();
const modelPath = (name: string): string => join(root, 'models', 'fable', `${name}-q8_0.gguf`);

/** Texts that the models have not been trained on, where this machine has them, else this repository's. */
function defaultTexts(): string[] {
  const data = join(root, '..', 'shared', 'data');
  const held = ['tinyshakespeare/input.txt', 'wikitext-2/wiki.test.raw'].map((name) => join(data, name));
  return held.every((path) => existsSync(path))
    ? held
    : [join(root, 'README.md'), join(root, 'ARCHITECTURE.md')];
}

async function promptsOf(paths: readonly string[]): Promise<number[][]> {
  await using engine = await Engine.load(modelPath('fable-4m'), { threads: 1 });
  const prompts: number[][] = [];
  for (const path of paths) {
    const text = readFileSync(path, 'utf8');
    for (let part = 0; part < promptsPerText; part++) {
      const start = Math.floor((text.length * part) / promptsPerText);
      const ids = await engine.tokenize(text.slice(start, start + 600), { addSpecial: true });
      prompts.push(ids.slice(0, promptTokens));
    }
  }
  return prompts;
}

type Running = Pick<Executor, 'vocabularySize' | 'maxSelected' | 'run' | 'move'>;

/** On a clock that each pass moves on by what it is said to take. */
function timed(executor: Executor, pass: (rows: number) => number, clock: { ms: number }): Running {
  return {
    vocabularySize: executor.vocabularySize,
    maxSelected: executor.maxSelected,
    move: (moves) => executor.move(moves),
    async run(step: Step, options) {
      const result = await executor.run(step, options);
      clock.ms += pass(step.rows.length);
      return result;
    },
  };
}

interface Tally {
  tokens: number;
  passes: number;
  proposed: number;
  accepted: number;
  verifications: number;
  draftPasses: number;
  ms: number;
}

async function measure(
  target: ModelBelowEngine,
  draft: ModelBelowEngine,
  way: Way,
  sampling: SamplingOptions,
  prompts: readonly (readonly number[])[],
): Promise<Tally> {
  const tally = { tokens: 0, passes: 0, proposed: 0, accepted: 0, verifications: 0, draftPasses: 0, ms: 0 };
  const time = { ms: 0 };
  const clock = () => time.ms;
  const draftModel: DraftModel = {
    executor: timed(draft.executor, way.times.draft, time),
    contextLength,
    openSequence: () => draft.cache.openSequence(),
  };
  for (const [seed, prompt] of prompts.entries()) {
    const sequence = target.cache.openSequence();
    const rows = target.nextRows(sequence, prompt.slice(0, -1));
    const { cacheRows } = await target.executor.run({ rows, select: { kind: 'nothing' } });
    await target.executor.move(sequence.commit(cacheRows));
    const proposer = openProposer(way.decoder, { draft: draftModel, fallback: way.fallback, clock });
    const executor = timed(target.executor, way.times.target, time);
    const timeline = { executor, sequence, contextLength, tokens: [...prompt], clock };
    const before = time.ms;
    const decoding = decode(timeline, proposer, { maxTokens: newTokens, sampling: { ...sampling, seed } });
    for await (const _ of decoding);
    const { stats } = decoding;
    tally.ms += time.ms - before;
    tally.tokens += stats.tokens;
    tally.passes += stats.steps;
    tally.proposed += stats.proposed;
    tally.accepted += stats.accepted;
    tally.verifications += stats.speculation?.verifications ?? 0;
    tally.draftPasses += stats.speculation?.draftPasses ?? 0;
    proposer.close?.();
    sequence.close();
  }
  return tally;
}

async function acceptanceTable(paths: readonly string[]): Promise<string> {
  const prompts = await promptsOf(paths);
  const options = { threads: 1, contextLength };
  const target = await openModelBelowEngine(modelPath('fable-4m'), options);
  const draft = await openModelBelowEngine(modelPath('fable-1m'), options);
  const lines = [
    '| temperature | decoder | fallback | times | tokens per verification | candidates in a tree | of them accepted | passes of the draft per token | time per token, of plain |',
    '|---|---|---|---|---:|---:|---:|---:|---:|',
  ];
  try {
    for (const { name, sampling } of samplings) {
      for (const way of ways) {
        const tally = await measure(target, draft, way, sampling, prompts);
        const cells = [
          ...[name, way.decoder, way.fallback ?? '', way.times.name],
          (tally.tokens / tally.passes).toFixed(2),
          (tally.proposed / Math.max(1, tally.verifications)).toFixed(1),
          (tally.accepted / Math.max(1, tally.verifications)).toFixed(2),
          (tally.draftPasses / tally.tokens).toFixed(2),
          (tally.ms / tally.tokens / way.times.target(1)).toFixed(2),
        ];
        lines.push(`| ${cells.join(' | ')} |`);
      }
    }
  } finally {
    await draft.close();
    await target.close();
  }
  return `${lines.join('\n')}\n`;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { write: { type: 'boolean', default: false } },
});
const table = await acceptanceTable(positionals.length > 0 ? positionals : defaultTexts());
process.stdout.write(table);
if (values.write) writeMarkedSection(join(root, 'docs', 'speculation.md'), 'acceptance', table);
