/**
 * Begins work of a worker anew when nothing is heard of it for long. In Firefox (153) a worker that starts others stays in
 * `new Worker` for ever now and then, and nothing that it is sent reaches it; ending it is all that helps.
 */

/** How long the first starts may be silent; the last one is waited for, since a machine may be that slow. */
const patienceMs = [6_000, 15_000] as const;

/** `ask` is given a signal that ends it, and a function to tell that something was heard. */
export async function withPatience<Answer>(
  signal: AbortSignal,
  ask: (until: AbortSignal, heard: () => void) => Promise<Answer>,
): Promise<Answer> {
  for (const ms of patienceMs) {
    const silence = new AbortController();
    const giveUp = (): void => silence.abort();
    let timer = setTimeout(giveUp, ms);
    const heard = (): void => {
      clearTimeout(timer);
      timer = setTimeout(giveUp, ms);
    };
    try {
      return await ask(AbortSignal.any([signal, silence.signal]), heard);
    } catch (error) {
      if (signal.aborted || !silence.signal.aborted) throw error;
    } finally {
      clearTimeout(timer);
    }
  }
  return ask(signal, () => {});
}
