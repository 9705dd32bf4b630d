/** wllama 2 on a page: tokens through its own decode calls, nothing sampled. */

export async function openContender({ folder, model, threads, contextRows, firstPromptTokens }, idsOf) {
  const { Wllama } = await import(`${folder}esm/index.js`);
  const wllama = new Wllama(
    {
      'single-thread/wllama.wasm': `${folder}esm/single-thread/wllama.wasm`,
      'multi-thread/wllama.wasm': `${folder}esm/multi-thread/wllama.wasm`,
    },
    { suppressNativeLog: true },
  );
  const blob = await (await fetch(model)).blob();
  await wllama.loadModel([blob], { n_ctx: contextRows, n_batch: 512, n_threads: threads });
  const ids = idsOf(contextRows);
  let rows = 0;
  const cutTo = async (depth) => {
    if (depth === 0) await wllama.kvClear();
    else if (rows > depth) await wllama.kvRemove(depth, -1);
    rows = Math.min(rows, depth);
    wllama.nCachedTokens = rows;
  };
  const run = async (count) => {
    await wllama.decode(ids.slice(rows, rows + count), {});
    rows += count;
  };
  const fill = async (depth) => {
    await cutTo(depth);
    while (rows < depth) await run(Math.min(512, depth - rows));
  };
  const timed = async (work) => {
    const began = performance.now();
    await work();
    return performance.now() - began;
  };
  await run(firstPromptTokens);
  await wllama.getLogits(1);
  const firstTokenAtMs = performance.timeOrigin + performance.now();
  return {
    about: `${wllama.isMultithread() ? 'multi' : 'single'}-thread build, n_threads ${wllama.getNumThreads()}, f16 cache`,
    firstTokenAtMs,
    fill: (depth) => timed(() => fill(depth)),
    async prompt(depth, tokens) {
      await fill(depth);
      return timed(() => run(tokens));
    },
    async decode(depth, tokens) {
      await fill(depth);
      return timed(async () => {
        for (let count = 0; count < tokens; count++) await run(1);
      });
    },
    close: () => wllama.exit(),
  };
}
