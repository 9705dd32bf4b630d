/** Process of `garbage.ts`: counts what is allocated per token by the executor, by the decoding loop, and by the engine. */
import { decode, openProposer } from '../../../src/decoder.ts';
import type { StepRow } from '../../../src/executor.ts';
import { Engine } from '../../../src/index.ts';
import { openModelBelowEngine } from '../model-below-engine.ts';

export interface Garbage {
  readonly tokens: number;
  readonly stepBytes: number;
  readonly loopBytes: number;
  readonly textBytes: number;
  /** Growth of buffers per token, of the loop. */
  readonly externalBytes: number;
}

const [warmTokens, tokens] = [300, 200];
const contextLength = 4 * (warmTokens + tokens);
const collect = (globalThis as { gc?: () => void }).gc ?? (() => {});

/** Bytes per token that the heap grows by, and the buffers outside it. */
async function growth(work: () => Promise<unknown>): Promise<{ heap: number; external: number }> {
  collect();
  const before = process.memoryUsage();
  await work();
  const after = process.memoryUsage();
  return {
    heap: (after.heapUsed - before.heapUsed) / tokens,
    external: (after.arrayBuffers - before.arrayBuffers) / tokens,
  };
}

async function countBelow(path: string, threads: number) {
  const model = await openModelBelowEngine(path, { threads, contextLength });
  const { executor, cache } = model;
  const sequence = cache.openSequence();
  const steps = async (count: number): Promise<void> => {
    const selected = [0];
    for (let step = 0; step < count; step++) {
      const position = sequence.committed;
      const row: StepRow = { sequence, token: 300 + (step % 1000), position, parent: position - 1 };
      const result = await executor.run({ rows: [row], select: { kind: 'argmax', rows: selected } });
      await executor.move(sequence.commit(result.cacheRows));
    }
  };
  await steps(warmTokens);
  const step = await growth(() => steps(tokens));
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
  return { stepBytes: step.heap, loopBytes: looped.heap, externalBytes: looped.external };
}

async function countEngine(path: string, threads: number): Promise<number> {
  await using engine = await Engine.load(path, { threads, contextLength });
  await using session = await engine.session();
  const generation = session.generate([300], { ignoreEnd: true, maxTokens: contextLength - 8 });
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
const textBytes = await countEngine(path, Number(threads));
process.send?.({ tokens, ...below, textBytes } satisfies Garbage);
process.disconnect?.();
