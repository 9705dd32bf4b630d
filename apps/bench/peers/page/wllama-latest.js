/**
 * wllama 3 on a page: completions of its built-in server, which keeps what a prompt shares with the one before. It takes
 * no ids, so the text is of control characters: no piece has them, and each becomes the token of its byte.
 */

/** BOS and the space before a text are tokens too. */
const addedTokens = 2;
const textOf = (tokens) =>
  String.fromCharCode(
    ...Array.from({ length: Math.max(0, tokens - addedTokens) }, (_, index) => 1 + (index % 8)),
  );

export async function openContender({ folder, model, threads, contextRows, firstPromptTokens }) {
  const { Wllama } = await import(`${folder}esm/index.js`);
  const wllama = new Wllama({ default: `${folder}esm/wasm/wllama.wasm` }, { suppressNativeLog: true });
  const blob = await (await fetch(model)).blob();
  const size = { n_ctx: contextRows, n_batch: 512, n_ubatch: 512 };
  await wllama.loadModel([blob], { ...size, n_threads: threads, n_gpu_layers: 0, n_parallel: 1 });
  const complete = async (length, tokens) => {
    const { timings } = await wllama.createCompletion({
      prompt: textOf(length),
      max_tokens: tokens,
      n_predict: tokens,
      temperature: 0,
      ignore_eos: true,
      cache_prompt: true,
    });
    return timings;
  };
  const timed = async (work) => {
    const began = performance.now();
    await work();
    return performance.now() - began;
  };
  await complete(firstPromptTokens, 1);
  const firstTokenAtMs = performance.timeOrigin + performance.now();
  /** The server computes what is new and at least one row. */
  const fill = (depth) => (depth > 0 ? complete(depth, 1) : complete(1, 1));
  return {
    about: `n_threads ${wllama.getNumThreads()}, flash attention automatic, f16 cache, server's own clock`,
    firstTokenAtMs,
    fill: (depth) => timed(() => fill(depth)),
    async prompt(depth, tokens) {
      await fill(depth);
      const { prompt_ms, prompt_n } = await complete(depth + tokens, 1);
      return (prompt_ms / prompt_n) * tokens;
    },
    /** Its first token comes with the prompt. */
    async decode(depth, tokens) {
      const { predicted_ms } = await complete(Math.max(1, depth), tokens + 1);
      return predicted_ms;
    },
    close: () => wllama.exit(),
  };
}
