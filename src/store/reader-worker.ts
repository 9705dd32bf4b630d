/** The reading thread's script: serves one file, request after request, in the order they come. */
import { checksum } from '../base/checksum.ts';
import { type ErrorCode, NearfieldError } from '../base/error.ts';
import { workerPort } from '../base/platform.ts';
import type { StoredFile, ThreadPlace } from '../store.ts';
import { openDescriptor } from './folder-store.ts';
import { openPrivateFile } from './private-store.ts';

export type ThreadFile = Pick<StoredFile, 'readInto' | 'replace'>;

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

const port = workerPort();
const nowMs = (): number => performance.timeOrigin + performance.now();
const sums = new Uint32Array(2);
const served: { file: ThreadFile | undefined; latest: Promise<void> } = {
  file: undefined,
  latest: Promise.resolve(),
};

port.onMessage((message) => {
  served.latest = served.latest.then(() => serve(message as ReaderRequest));
});

async function serve(request: ReaderRequest): Promise<void> {
  if ('place' in request) {
    served.file = await open(request.place);
    return port.post('ready');
  }
  const startMs = nowMs();
  let error: ReaderAnswer['error'];
  try {
    if (!served.file) throw new NearfieldError('internal', 'No file was handed over');
    if ('target' in request) {
      await served.file.readInto(request.offset, request.target);
      checksum(request.target, sums, 0);
    } else {
      await served.file.replace(request.offset, request.bytes);
    }
  } catch (cause) {
    const code = cause instanceof NearfieldError ? cause.code : 'internal';
    error = { code, message: cause instanceof Error ? cause.message : String(cause) };
  }
  const answer = { call: request.call, sums: [sums[0] ?? 0, sums[1] ?? 0] as const, startMs, endMs: nowMs() };
  port.post((error ? { ...answer, error } : answer) satisfies ReaderAnswer);
}

function open(place: ThreadPlace): ThreadFile | Promise<ThreadFile> {
  return 'descriptor' in place ? openDescriptor(place) : openPrivateFile(place);
}
