/** Programs that ran, as a file for chrome://tracing and Perfetto. */
import type { LoadOptions } from '../../src/index.ts';
import { expectWritable, writeWholeFile } from './whole-file.ts';

export interface TraceFile {
  readonly onTrace: NonNullable<LoadOptions['onTrace']>;
  /** Writes the file. */
  finish(): Promise<void>;
}

/** Throws `not-found` or `io` at once where the file could not be written in the end. */
export async function openTraceFile(path: string): Promise<TraceFile> {
  await expectWritable(path);
  const traceEvents: object[] = [];
  return {
    onTrace({ name, startMs, durationMs, rows }) {
      const [ts, dur] = [startMs * 1000, durationMs * 1000];
      traceEvents.push({ name, ph: 'X', cat: 'program', ts, dur, pid: 1, tid: 1, args: { rows } });
    },
    finish: () => writeWholeFile(path, `${JSON.stringify({ displayTimeUnit: 'ms', traceEvents })}\n`),
  };
}
