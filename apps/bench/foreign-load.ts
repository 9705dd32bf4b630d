/** How much of the machine other programs took while something was measured. */
import { computedTicks, descendants, textOf } from './process-tree.ts';

interface Ticks {
  /** Of all processors, busy and in all. */
  readonly busy: number;
  readonly all: number;
  /** Of this process and those below it. */
  readonly own: number;
}

function readTicks(): Ticks | undefined {
  const all = /^cpu\s+(.*)$/m.exec(textOf('/proc/stat'))?.[1]?.split(/\s+/).map(Number);
  if (!all) return undefined;
  // The time of guests is in that of users already.
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0] = all;
  const busy = user + nice + system + irq + soft + steal;
  const own = [process.pid, ...descendants()].reduce((sum, id) => sum + computedTicks(id), 0);
  return { busy, all: busy + idle + wait, own };
}

/**
 * Begins to watch. The function it gives says the share of all processors' time that went to others, undefined where that
 * is unknown; call it while the processes that were measured still run.
 */
export function watchForeignLoad(): () => number | undefined {
  const before = readTicks();
  return () => {
    const after = readTicks();
    if (!before || !after || after.all === before.all) return undefined;
    const foreign = after.busy - before.busy - (after.own - before.own);
    return Math.max(0, foreign) / (after.all - before.all);
  };
}

/** Share of all processors' time that others may take of a run. */
export const disturbingLoad = 0.1;

/** Waits until other programs take less than a tenth of the machine, at most so long. */
export async function untilQuiet(mostMs: number): Promise<void> {
  const end = performance.now() + mostMs;
  while (performance.now() < end) {
    const foreignLoad = watchForeignLoad();
    await new Promise((resolve) => setTimeout(resolve, 150));
    if ((foreignLoad() ?? 0) <= disturbingLoad) return;
  }
}
