/** The machine's ceilings inside WebAssembly: streaming reads and integer products per second, by number of threads. */
import { Worker } from 'node:worker_threads';
import { type ArithmeticLoop, ceilingModule, operandBytes, operationsPerRound } from './ceiling-module.ts';

export interface Ceilings {
  readonly threads: number;
  /** 10^9 bytes a second. */
  readonly readGigabytes: number;
  /** 10^9 multiplications and additions a second of the faster of both dot products, and which it is. */
  readonly integerGigaops: number;
  readonly dot: 'relaxed' | 'plain';
  /** The same of float32. */
  readonly floatGigaops: number;
}

/** Far beyond any cache of one machine's share. */
const memoryBytes = 2 ** 29;
const [runMs, repeats] = [150, 5];

/** Runs in each worker: waits until all are there, repeats one loop for a while, answers with its rate. */
const workerSource = `
const { parentPort, workerData } = require('node:worker_threads');
const { module, memory, thread, threads, runMs } = workerData;
const run = new WebAssembly.Instance(module, { env: { memory } }).exports;
const words = new Int32Array(memory.buffer);
parentPort.on('message', ({ kind, round }) => {
  Atomics.add(words, 0, 1);
  while (Atomics.load(words, 0) < round * threads);
  const share = Math.floor((memory.buffer.byteLength - ${operandBytes}) / threads / 256) * 256;
  const from = ${operandBytes} + thread * share;
  const began = performance.now();
  let [amount, took] = [0, 0];
  do {
    if (kind === 'read') { run.read(from, from + share); amount += share; }
    else { run[kind](1e5); amount += 1e5; }
    took = performance.now() - began;
  } while (took < runMs);
  parentPort.postMessage(amount / took);
});`;

export async function measureCeilings(threads: number): Promise<Ceilings> {
  const pages = memoryBytes / 65536;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  new Uint8Array(memory.buffer).fill(1, 64);
  const module = ceilingModule(pages);
  const workers = Array.from({ length: threads }, (_, thread) => {
    const workerData = { module, memory, thread, threads, runMs };
    return new Worker(workerSource, { eval: true, workerData });
  });
  let round = 0;
  /** The best of a few, since only disturbance makes it less. */
  const best = async (kind: 'read' | ArithmeticLoop): Promise<number> => {
    let most = 0;
    for (let repeat = 0; repeat < repeats; repeat++) {
      round++;
      const rates = await Promise.all(workers.map((worker) => askWorker(worker, { kind, round })));
      most = Math.max(
        most,
        rates.reduce((sum, rate) => sum + rate, 0),
      );
    }
    return most;
  };
  try {
    const readGigabytes = (await best('read')) / 1e6;
    const gigaops = async (loop: ArithmeticLoop): Promise<number> =>
      ((await best(loop)) * operationsPerRound[loop]) / 1e6;
    const [relaxed, plain] = [await gigaops('relaxedDots'), await gigaops('wideDots')];
    const floatGigaops = await gigaops('floatProducts');
    const dot = relaxed >= plain ? 'relaxed' : 'plain';
    return { threads, readGigabytes, integerGigaops: Math.max(relaxed, plain), dot, floatGigaops };
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function askWorker(worker: Worker, message: object): Promise<number> {
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      worker.off('message', onMessage);
      worker.off('error', onError);
    };
    const onMessage = (rate: number): void => {
      finish();
      resolve(rate);
    };
    const onError = (error: Error): void => {
      finish();
      reject(error);
    };
    worker.on('message', onMessage);
    worker.on('error', onError);
    worker.postMessage(message);
  });
}
