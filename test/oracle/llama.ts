/** llama.cpp as an independent judge of logits and greedy ids, in a child process so that its threads die with it. */
import { fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { OracleCall, OracleReply } from './llama-process.ts';

export interface OracleOptions {
  /** Element type of llama.cpp's KV cache: 'f16' (its default) or 'f32' (for comparisons within 1e-3). */
  readonly cache?: 'f16' | 'f32';
  /** Rows per batch (512). */
  readonly batchSize?: number;
  /** Compute threads (2). */
  readonly threads?: number;
}

/** Ids are fed exactly as given: no BOS is added. Models are loaded on first use; only the latest stays loaded. */
export interface Oracle {
  /**
   * Continues `promptIds` by `count` arg-max ids, past end tokens too. `gaps[i]` is by how much the logit of `ids[i]`
   * exceeds the next largest.
   */
  greedy(
    modelPath: string,
    promptIds: readonly number[],
    count: number,
  ): Promise<{ ids: number[]; gaps: number[] }>;
  /** Logits [V] after each of `ids`, or only after those at the given `positions` (ascending indices into `ids`). */
  logits(modelPath: string, ids: readonly number[], positions?: readonly number[]): Promise<Float32Array[]>;
  /** The same as natural logarithms of probabilities, normalised in float64. */
  logProbabilities(
    modelPath: string,
    ids: readonly number[],
    positions?: readonly number[],
  ): Promise<Float32Array[]>;
  /** Ids of a text, nothing added; `special` turns the text of special tokens into their ids. */
  tokenize(modelPath: string, text: string, special?: boolean): Promise<number[]>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

type Waiting = { resolve: (value: unknown) => void; reject: (error: Error) => void };

/** An oracle, or why there is none here. Close it, or the test process waits for it. */
export async function openOracle(options: OracleOptions = {}): Promise<Oracle | { skip: string }> {
  const installed = fileURLToPath(new URL('./node_modules/node-llama-cpp/package.json', import.meta.url));
  if (!existsSync(installed))
    return { skip: 'node-llama-cpp is not installed: node scripts/ready.mjs --oracle' };

  const child = fork(
    fileURLToPath(new URL('./llama-process.ts', import.meta.url)),
    [JSON.stringify(options)],
    {
      serialization: 'advanced',
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    },
  );
  const waiting = new Map<number, Waiting>();
  let errorText = '';
  let gone = false;
  let lastCall = 0;
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errorText = (errorText + text).slice(-2000);
  });
  child.on('message', (reply: OracleReply) => {
    const caller = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (reply.error === undefined) caller?.resolve(reply.value);
    else caller?.reject(new Error(reply.error));
  });
  const ended = new Promise<void>((resolve) => {
    child.on('close', (code, signal) => {
      gone = true;
      const reason = new Error(`llama.cpp's process ended (${signal ?? code}) ${errorText}`.trim());
      for (const caller of waiting.values()) caller.reject(reason);
      waiting.clear();
      resolve();
    });
  });
  const call = <Value>(request: OracleCall): Promise<Value> => {
    if (gone) return Promise.reject(new Error(`llama.cpp's process has ended ${errorText}`.trim()));
    const id = ++lastCall;
    return new Promise<Value>((resolve, reject) => {
      waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      child.send({ id, ...request });
    });
  };
  const close = async () => {
    if (!gone) child.kill('SIGKILL');
    await ended;
  };
  try {
    await call({ name: 'start' });
  } catch (error) {
    await close();
    return { skip: `node-llama-cpp does not start here: ${(error as Error).message.split('\n')[0]}` };
  }
  const logits = (modelPath: string, ids: readonly number[], positions?: readonly number[]) =>
    call<Float32Array[]>({
      name: 'logits',
      modelPath,
      ids: [...ids],
      positions: [...(positions ?? ids.keys())],
    });
  return {
    greedy: (modelPath, promptIds, count) => call({ name: 'greedy', modelPath, ids: [...promptIds], count }),
    logits,
    logProbabilities: async (modelPath, ids, positions) =>
      (await logits(modelPath, ids, positions)).map(logProbabilitiesOf),
    tokenize: (modelPath, text, special = false) => call({ name: 'tokenize', modelPath, text, special }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** log softmax of one row of logits. */
export function logProbabilitiesOf(logits: Float32Array): Float32Array {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) largest = Math.max(largest, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  const logSum = largest + Math.log(sum);
  return logits.map((logit) => logit - logSum);
}
