/** This engine through its public interface, on a page or in Node. */

/** `idsOf(count)` gives the ids every engine is fed. */
export async function openContender(settings, idsOf) {
  const { entry, model, threads, contextRows, cacheType, firstPromptTokens } = settings;
  const { Engine } = await import(entry);
  const engine = await Engine.load(model, { threads, cacheType, contextLength: contextRows });
  const session = await engine.session();
  const ids = idsOf(contextRows);
  const generate = (length, maxTokens) =>
    session
      .generate(ids.slice(0, length), { maxTokens, ignoreEnd: true, decoder: 'plain', temperature: 0 })
      .result();
  /** A session's last token has no row yet. */
  const cutTo = (depth) => session.truncate(depth === 0 ? 0 : depth + 1);
  const timed = async (work) => {
    const began = performance.now();
    await work();
    return performance.now() - began;
  };
  await generate(firstPromptTokens, 1);
  const firstTokenAtMs = performance.timeOrigin + performance.now();
  const { backend, threads: used } = engine.description;
  return {
    about: `backend ${backend}, ${used} ${used === 1 ? 'thread' : 'threads'}, ${cacheType} cache`,
    firstTokenAtMs,
    async fill(depth) {
      await session.truncate(depth + 1);
      return timed(() => generate(depth + 1, 0));
    },
    async prompt(depth, tokens) {
      await cutTo(depth);
      return timed(() => generate(depth + tokens, 1));
    },
    async decode(depth, tokens) {
      await cutTo(depth);
      const { timings } = await generate(depth + 1, tokens);
      return timings.decodeMs;
    },
    close: () => engine.close(),
  };
}
