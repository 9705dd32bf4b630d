/**
 * Loads a model again and again in one process, to its end or until an abort in its middle: `repeated-loads.ts whole|aborted`,
 * with --expose-gc. Prints the resident bytes after each round as JSON.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Engine } from '../../src/index.ts';

const model = fileURLToPath(new URL('../../models/fable/fable-4m-q8_0.gguf', import.meta.url));
const options = { threads: 2, contextLength: 256 };
const collect = (globalThis as { gc?: () => void }).gc;

async function whole(): Promise<void> {
  await using engine = await Engine.load(model, options);
  await using session = await engine.session();
  await session.generate('Once upon a time', { maxTokens: 4 }).result();
}

async function aborted(): Promise<void> {
  const controller = new AbortController();
  const onProgress = ({ loadedBytes, totalBytes }: { loadedBytes: number; totalBytes: number }): void => {
    if (loadedBytes > totalBytes / 2) controller.abort();
  };
  const load = Engine.load(model, { ...options, signal: controller.signal, onProgress });
  const outcome = await load.then(
    () => 'loaded',
    (error) => error.code,
  );
  if (outcome !== 'aborted') throw new Error(`the load ended as ${outcome}`);
}

const round = process.argv[2] === 'aborted' ? aborted : whole;
const resident: number[] = [];
for (let index = 0; index < 12; index++) {
  await round();
  // Memory of threads goes back when the host has cleared them away.
  await sleep(30);
  collect?.();
  resident.push(process.memoryUsage.rss());
}
process.stdout.write(JSON.stringify(resident));
