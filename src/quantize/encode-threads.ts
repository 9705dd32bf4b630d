/** Threads that encode pieces, or the caller's own thread where there are none to be had. */
import { NearfieldError } from '../base/error.ts';
import { type HostWorker, holdProcess, isNode, nextTurn } from '../base/platform.ts';
import { firstMessage, workerScript } from '../base/worker-script.ts';
import { encodePiece, type Piece, type PieceError } from './encode-piece.ts';
import type { EncodeAnswer } from './encode-worker.ts';

export interface EncodeThreads {
  /** Pieces that are worked on at the same time; more wait. */
  readonly count: number;
  encode(piece: Piece): Promise<PieceError>;
  /** Ends the threads; what they were at rejects. */
  close(): Promise<void>;
}

/** Kept apart from the literal below, so that no bundler takes what is relative to it for an asset. */
const here = import.meta.url;

/** Up to `count`; in a browser, where pages come without the script, the caller's thread alone. */
export async function openEncodeThreads(count: number): Promise<EncodeThreads> {
  if (!isNode || count < 2) return ownThread();
  const script = workerScript('encode-worker', here, undefined, () => {
    throw new NearfieldError('internal', 'Encoding threads are for Node');
  });
  const hold = holdProcess();
  hold.ref();
  const workers = Array.from({ length: count }, (_, index) => script.spawn(`nearfield encode ${index}`));
  try {
    await Promise.all(workers.map((worker) => firstMessage(worker)));
  } catch (cause) {
    await Promise.all(workers.map((worker) => worker.terminate()));
    hold.unref();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new NearfieldError('backend', `${script.address} does not start: ${reason}`, { cause });
  }
  const lanes = workers.map((worker) => new Lane(worker));
  const free = [...lanes];
  const waiting: ((lane: Lane) => void)[] = [];
  return {
    count,
    async encode(piece) {
      const lane = free.pop() ?? (await new Promise<Lane>((resolve) => waiting.push(resolve)));
      try {
        return await lane.encode(piece);
      } finally {
        const next = waiting.shift();
        if (next) next(lane);
        else free.push(lane);
      }
    },
    async close() {
      for (const lane of lanes) lane.fail(new NearfieldError('aborted', 'The encoding threads were closed'));
      await Promise.all(workers.map((worker) => worker.terminate()));
      hold.unref();
    },
  };
}

function ownThread(): EncodeThreads {
  return {
    count: 1,
    async encode(piece) {
      await nextTurn();
      return encodePiece(piece);
    },
    async close() {},
  };
}

/** A thread with one piece at a time. */
class Lane {
  readonly #worker: HostWorker;
  #waiting: { resolve(result: PieceError): void; reject(error: Error): void } | undefined;
  #failure: NearfieldError | undefined;

  constructor(worker: HostWorker) {
    this.#worker = worker;
    worker.onMessage((message) => this.#take(message as EncodeAnswer));
    worker.onError((error) =>
      this.fail(new NearfieldError('backend', `An encoding thread failed: ${error.message}`)),
    );
  }

  encode(piece: Piece): Promise<PieceError> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#waiting = { resolve, reject };
      this.#worker.post(piece);
    });
  }

  fail(error: NearfieldError): void {
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
  }

  #take({ result, error }: EncodeAnswer): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (result) waiting?.resolve(result);
    else waiting?.reject(new NearfieldError(error?.code ?? 'internal', error?.message ?? 'No answer'));
  }
}
