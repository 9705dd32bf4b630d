/** How often a draft's likeliest token is what the target went on with. */
import { openModelBelowEngine } from '../model-below-engine.ts';

/** Rows of which the arg-max is asked for at a time. */
const rowsAtATime = 32;

export interface ContinuedText {
  readonly prompt: readonly number[];
  readonly tokens: readonly number[];
}

/** A share of all tokens behind the prompts. */
export async function agreement(
  draftPath: string,
  texts: readonly ContinuedText[],
  threads: number,
): Promise<number> {
  const contextLength = Math.max(...texts.map(({ prompt, tokens }) => prompt.length + tokens.length));
  const draft = await openModelBelowEngine(draftPath, { threads, contextLength });
  let [agreed, asked] = [0, 0];
  try {
    for (const { prompt, tokens } of texts) {
      const sequence = draft.cache.openSequence();
      const ids = [...prompt, ...tokens];
      for (let start = 0; start < ids.length - 1; start += rowsAtATime) {
        const part = ids.slice(start, Math.min(start + rowsAtATime, ids.length - 1));
        const select = { kind: 'argmax', rows: part.map((_, row) => row) } as const;
        const { argmax, cacheRows } = await draft.executor.run({
          ...{ rows: draft.nextRows(sequence, part), select },
        });
        for (const [row] of part.entries()) {
          const next = start + row + 1;
          if (next < prompt.length) continue;
          asked++;
          if (argmax[row] === ids[next]) agreed++;
        }
        await draft.executor.move(sequence.commit(cacheRows));
      }
      sequence.close();
    }
  } finally {
    await draft.close();
  }
  return agreed / Math.max(1, asked);
}
