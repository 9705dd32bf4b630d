/** This engine through its public interface, as built. */
import type { Engine, GenerationResult, StreamingReport } from '../../../src/index.ts';
import { emptyTally, type NearfieldSpec, type RunResult, type Tally } from './contender.ts';

const entry = new URL('../../../dist/index.js', import.meta.url).href;

export async function runNearfield(spec: NearfieldSpec): Promise<RunResult> {
  const { modelPath, draftPath, threads, contextRows, decoder, fallback, idleDrafting, texts } = spec;
  const { memoryBudget, cacheFolder } = spec;
  const library: { Engine: { load(path: string, options: object): Promise<Engine> } } = await import(entry);
  const engine = await library.Engine.load(modelPath, {
    ...{ threads, contextLength: contextRows, cacheFolder },
    ...(draftPath === undefined ? {} : { draft: draftPath }),
    ...(memoryBudget === undefined ? {} : { memoryBudget }),
  });
  const session = await engine.session();
  const options = {
    ...{ ignoreEnd: true, decoder },
    ...(fallback ? { fallback } : {}),
    ...(idleDrafting === undefined ? {} : { idleDrafting }),
  };
  const tally = emptyTally();
  const tokens: (readonly number[])[] = [];
  for (const [index, text] of texts.entries()) {
    await session.generate(text.prompt, { ...options, maxTokens: 0 }).result();
    const before = await engine.streaming();
    const result = await session.generate(text.prompt, { ...options, maxTokens: text.tokens }).result();
    tokens.push(result.tokens);
    if (index > 0) addTo(tally, result, before, await engine.streaming());
  }
  const { weightsBytes, kvCacheBytes, arenaBytes } = await engine.memory();
  const { streaming } = engine.description;
  await engine.close();
  return {
    ...{ about: `${threads} threads`, tokens, tally, heldBytes: weightsBytes + kvCacheBytes + arenaBytes },
    bytesPerPass: streaming?.bytesPerPass ?? 0,
    residentLayers: streaming?.residentLayers ?? 0,
  };
}

function addTo(
  tally: Tally,
  { tokens, timings, decoder }: GenerationResult,
  before: StreamingReport | undefined,
  after: StreamingReport | undefined,
): void {
  const { speculation } = decoder;
  tally.tokens += tokens.length;
  tally.ms += timings.decodeMs;
  tally.passes += decoder.steps;
  tally.proposed += decoder.proposed;
  tally.accepted += decoder.accepted;
  tally.verifications += speculation?.verifications ?? 0;
  tally.draftPasses += speculation?.draftPasses ?? 0;
  tally.draftMs += speculation?.draftMs ?? 0;
  tally.provisionalKept += speculation?.provisionalKept ?? 0;
  tally.provisionalDropped += speculation?.provisionalDropped ?? 0;
  if (!before || !after) return;
  const bothMs = ({ readMs, hiddenReadShare }: StreamingReport): number => readMs * hiddenReadShare;
  tally.bytesRead += after.bytesRead - before.bytesRead;
  tally.readMs += after.readMs - before.readMs;
  tally.computeMs += after.computeMs - before.computeMs;
  tally.bothMs += bothMs(after) - bothMs(before);
}
