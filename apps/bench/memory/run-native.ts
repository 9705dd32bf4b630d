/** llama.cpp through node-llama-cpp, its weights mapped from the file; fed with given tokens, one at a time. */
import { openNativeTimeline } from '../peers/open-native.ts';
import { emptyTally, type NativeSpec, type RunResult } from './contender.ts';

export async function runNative({ modelPath, threads, contextRows, texts }: NativeSpec): Promise<RunResult> {
  const { timeline, about } = await openNativeTimeline({
    ...{ modelPath, threads, contextRows, batchRows: 64, flashAttention: true, cache: 'f16' },
  });
  const tally = emptyTally();
  for (const [index, { prompt, given = [] }] of texts.entries()) {
    await timeline.restart([...prompt, ...given]);
    await timeline.fill(prompt.length);
    const began = performance.now();
    for (const _ of given) await timeline.run(1);
    if (index === 0) continue;
    tally.ms += performance.now() - began;
    tally.tokens += given.length;
    tally.passes += given.length;
  }
  return { about, tokens: [], tally, heldBytes: 0, bytesPerPass: 0, residentLayers: 0 };
}
