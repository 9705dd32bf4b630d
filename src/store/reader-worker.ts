/**
 * The reading thread's script: serves one file. Reads are begun in the order they come, some at a time; what replaces bytes
 * has its turn alone.
 */
import { type ErrorCode, NearfieldError } from '../base/error.ts';
import { workerPort } from '../base/platform.ts';
import type { StoredFile, ThreadPlace } from '../store.ts';
import { openDescriptor } from './folder-store.ts';
import { openPrivateFile } from './private-store.ts';
import { RememberedSums } from './remembered-sums.ts';

export interface ThreadFile extends Pick<StoredFile, 'readInto' | 'replace'> {
  /** How many reads may be under way. */
  readonly readsAtATime: number;
  /** Another after every change of the file, by whomever; undefined where that cannot be told. */
  stamp(): string | undefined;
}

export type ReaderRequest =
  | { readonly place: ThreadPlace }
  | { readonly call: number; readonly offset: number; readonly target: Uint8Array }
  | { readonly call: number; readonly offset: number; readonly bytes: Uint8Array };

export interface ReaderAnswer {
  readonly call: number;
  readonly sums: readonly [number, number];
  /** Since the epoch. */
  readonly startMs: number;
  readonly endMs: number;
  readonly error?: { readonly code: ErrorCode; readonly message: string };
}

type Call = Exclude<ReaderRequest, { readonly place: ThreadPlace }>;

const port = workerPort();
const nowMs = (): number => performance.timeOrigin + performance.now();
const remembered = new RememberedSums();
const served: { file: ThreadFile | undefined; underWay: number; isReplacing: boolean } = {
  file: undefined,
  underWay: 0,
  isReplacing: false,
};
const waiting: Call[] = [];

port.onMessage((message) => {
  const request = message as ReaderRequest;
  if ('place' in request) {
    void begin(request.place);
  } else {
    waiting.push(request);
    goOn();
  }
});

async function begin(place: ThreadPlace): Promise<void> {
  served.file = await open(place);
  port.post('ready');
}

/** Begins what may be begun. */
function goOn(): void {
  for (let next = waiting[0]; next; next = waiting[0]) {
    const isRead = 'target' in next;
    const most = isRead ? (served.file?.readsAtATime ?? 1) : 1;
    if (served.isReplacing || served.underWay >= most) return;
    waiting.shift();
    served.isReplacing = !isRead;
    served.underWay++;
    void serve(next);
  }
}

async function serve(request: Call): Promise<void> {
  const startMs = nowMs();
  let error: ReaderAnswer['error'];
  let sums: ReaderAnswer['sums'] = [0, 0];
  let endMs = startMs;
  try {
    if (!served.file) throw new NearfieldError('internal', 'No file was handed over');
    if ('target' in request) {
      await served.file.readInto(request.offset, request.target);
      endMs = nowMs();
      sums = remembered.of(request.offset, request.target, served.file.stamp());
    } else {
      await served.file.replace(request.offset, request.bytes);
      endMs = nowMs();
    }
  } catch (cause) {
    const code = cause instanceof NearfieldError ? cause.code : 'internal';
    error = { code, message: cause instanceof Error ? cause.message : String(cause) };
  }
  served.underWay--;
  served.isReplacing = false;
  const answer = { call: request.call, sums, startMs, endMs };
  port.post((error ? { ...answer, error } : answer) satisfies ReaderAnswer);
  goOn();
}

function open(place: ThreadPlace): ThreadFile | Promise<ThreadFile> {
  return 'descriptor' in place ? openDescriptor(place) : openPrivateFile(place);
}
