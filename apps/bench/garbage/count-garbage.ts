/** Process of `garbage.ts`: counts what is allocated per token by the executor, by the decoding loop, and by the engine. */
import { decode, openProposer } from '../../../src/decoder.ts';
import type { Step } from '../../../src/executor.ts';
import { Engine } from '../../../src/index.ts';
import { openModelBelowEngine } from '../model-below-engine.ts';
import { medianOf } from '../peers/median.ts';

export interface Garbage {
  readonly tokens: number;
  readonly stepBytes: number;
  readonly loopBytes: number;
  /** Of the engine with text, without a proposer and with the default one. */
  readonly textBytes: number;
  readonly defaultBytes: number;
  /** Growth of buffers per token, of the loop. */
  readonly externalBytes: number;
}

/** Compiling goes on for long and leaves its traces in the heap, so the middle of several counts is taken. */
const [warmTokens, tokens, counts] = [300, 200, 5];
const contextLength = 2 * (warmTokens + counts * tokens);
const collect = (globalThis as { gc?: () => void }).gc ?? (() => {});

/** Bytes per token that the heap grows by, and the buffers outside it. */
async function growth(work: () => Promise<unknown>): Promise<{ heap: number; external: number }> {
  const [heap, external]: [number[], number[]] = [[], []];
  for (let count = 0; count < counts; count++) {
    collect();
    const before = process.memoryUsage();
    await work();
    const after = process.memoryUsage();
    heap.push((after.heapUsed - before.heapUsed) / tokens);
    external.push((after.arrayBuffers - before.arrayBuffers) / tokens);
  }
  return { heap: medianOf(heap), external: medianOf(external) };
}

async function countBelow(path: string, threads: number) {
  const model = await openModelBelowEngine(path, { threads, contextLength });
  const { executor, cache } = model;
  const sequence = cache.openSequence();
  // Used again for each step: what is counted is the executor's own.
  const row = { sequence, token: 0, position: 0, parent: 0 };
  const step: Step = { rows: [row], select: { kind: 'argmax', rows: [0] } };
  const steps = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index++) {
      row.token = 300 + (index % 1000);
      row.position = sequence.committed;
      row.parent = row.position - 1;
      const result = await executor.run(step);
      const moving = executor.move(sequence.commit(result.cacheRows));
      if (moving) await moving;
    }
  };
  await steps(warmTokens);
  const stepped = await growth(() => steps(tokens));
  sequence.forget(0);
  const target = { executor, sequence, contextLength, tokens: [300] };
  const decoding = decode(target, openProposer('plain'), { maxTokens: contextLength, endIds: new Set() });
  const loop = async (count: number): Promise<void> => {
    for (let token = 0; token < count; token++) await decoding.next();
  };
  await loop(warmTokens);
  const looped = await growth(() => loop(tokens));
  await decoding.return({} as never);
  await model.close();
  return { stepBytes: stepped.heap, loopBytes: looped.heap, externalBytes: looped.external };
}

async function countEngine(path: string, threads: number, decoder: 'plain' | 'auto'): Promise<number> {
  await using engine = await Engine.load(path, { threads, contextLength });
  await using session = await engine.session();
  const generation = session.generate([300], { ignoreEnd: true, maxTokens: contextLength - 8, decoder });
  const iterator = generation[Symbol.asyncIterator]();
  const read = async (count: number): Promise<void> => {
    for (let token = 0; token < count; token++) await iterator.next();
  };
  await read(warmTokens);
  const { heap } = await growth(() => read(tokens));
  await iterator.return?.();
  return heap;
}

const [path = '', threads = '1'] = process.argv.slice(2);
const below = await countBelow(path, Number(threads));
const textBytes = await countEngine(path, Number(threads), 'plain');
const defaultBytes = await countEngine(path, Number(threads), 'auto');
process.send?.({ tokens, ...below, textBytes, defaultBytes } satisfies Garbage);
process.disconnect?.();
