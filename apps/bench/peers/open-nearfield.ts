/** This engine in Node: its public interface, as built, and below it an executor for steps of a given number of rows. */
import { type BelowEngineOptions, openModelBelowEngine } from '../model-below-engine.ts';
import { type Contender, type ContenderSpec, firstPromptTokens, promptIds } from './contender.ts';
import { peakResidentOf } from './resident-memory.ts';

const page = new URL('./page/nearfield.js', import.meta.url).href;
const entry = new URL('../../../dist/index.js', import.meta.url).href;

export async function openNearfieldContender(spec: ContenderSpec): Promise<Contender> {
  const { modelPath, threads, contextRows, cache: cacheType = 'f16' } = spec;
  const { openContender } = await import(page);
  const settings = { entry, model: modelPath, threads, contextRows, cacheType, firstPromptTokens };
  const contender: Contender = await openContender(settings, (count: number) => promptIds(count));
  let below: Awaited<ReturnType<typeof openSteps>> | undefined;
  let peakBytes = 0;
  return {
    ...contender,
    about: `Node ${process.versions.node}, ${contender.about}`,
    async step(depth, rows) {
      peakBytes ||= peakResidentOf('self');
      below ??= await openSteps(modelPath, { threads, contextLength: contextRows, cacheType });
      return below.step(depth, rows);
    },
    // What the second copy of the model takes is not the engine's.
    peakBytes: async () => peakBytes || peakResidentOf('self'),
    async close() {
      await below?.close();
      await contender.close();
    },
  };
}

/** Steps as the decoder's loop makes them: the arg-max of every row. */
async function openSteps(modelPath: string, options: BelowEngineOptions) {
  const model = await openModelBelowEngine(modelPath, options);
  const sequence = model.cache.openSequence();
  const run = async (rows: number, select: 'nothing' | 'argmax') => {
    const chain = model.nextRows(sequence, promptIds(rows, sequence.committed));
    const wanted =
      select === 'argmax' ? { kind: select, rows: chain.map((_, row) => row) } : { kind: select };
    const { cacheRows } = await model.executor.run({ rows: chain, select: wanted });
    await model.executor.move(sequence.commit(cacheRows));
  };
  return {
    async step(depth: number, rows: number): Promise<number> {
      if (sequence.committed > depth) sequence.forget(depth);
      if (sequence.committed < depth) await run(depth - sequence.committed, 'nothing');
      const began = performance.now();
      await run(rows, 'argmax');
      return performance.now() - began;
    },
    close: () => model.close(),
  };
}
