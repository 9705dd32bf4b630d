/**
 * Begins the work of a worker anew where it has fallen silent. In Firefox (153) a worker that starts others stays in
 * `new Worker` for ever now and then, and nothing that it is sent reaches it; ending it is all that helps. One that only takes
 * long tells that it is there (`serveCalls`).
 */

/** How many seconds the first starts may be silent; the last one is waited for, since a machine may be that slow. */
const patience = [6, 15] as const;

/** `ask` is given a signal that ends it, and a function to tell that something was heard: from the first time on that counts. */
export async function withPatience<Answer>(
  signal: AbortSignal | undefined,
  ask: (until: AbortSignal | undefined, heard: () => void) => Promise<Answer>,
): Promise<Answer> {
  for (const most of patience) {
    const silence = new AbortController();
    let clock: ReturnType<typeof setInterval> | undefined;
    let silent = 0;
    // Seconds are counted, not a deadline set: a page that was asleep has not waited.
    const count = (): void => {
      if (++silent >= most) silence.abort();
    };
    const heard = (): void => {
      silent = 0;
      clock ??= setInterval(count, 1000);
    };
    try {
      return await ask(AbortSignal.any([silence.signal, ...(signal ? [signal] : [])]), heard);
    } catch (error) {
      if (signal?.aborted || !silence.signal.aborted) throw error;
    } finally {
      clearInterval(clock);
    }
  }
  return ask(signal, () => {});
}
