/** A toy model as the draft of another: agrees with it mostly, never or always, and counts what is asked of it. */
import type { DraftModel } from '../../src/decoder.ts';
import type { KvCache, Sequence } from '../../src/kv-cache.ts';
import { ToyExecutor, type ToyOptions } from './toy-executor.ts';

export interface ToyDraft extends DraftModel {
  readonly executor: ToyExecutor;
  readonly cache: KvCache;
  /** Sequences opened and not closed. */
  readonly open: Set<Sequence>;
}

export function openToyDraft(options: ToyOptions): ToyDraft {
  const executor = new ToyExecutor(options);
  const open = new Set<Sequence>();
  return {
    executor,
    cache: executor.cache,
    contextLength: executor.contextLength,
    open,
    openSequence() {
      const sequence = executor.cache.openSequence();
      const close = sequence.close.bind(sequence);
      sequence.close = () => {
        open.delete(sequence);
        close();
      };
      open.add(sequence);
      return sequence;
    },
  };
}

/** Turns the greatest logits into the least: the draft is sure, and wrong. */
export function contrary(logits: Float32Array): void {
  const greatest = logits.indexOf(Math.max(...logits));
  logits[greatest] = -30;
  logits[(greatest + 7) % logits.length] = 30;
}

/** A clock of waiting time by which every pass waits for seconds. */
export function longWaits(): () => number {
  let ms = 0;
  return () => {
    ms += 5000;
    return ms;
  };
}
