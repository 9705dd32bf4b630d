/** What an engine did when, as a file for chrome://tracing and Perfetto: a lane for each thing that works. */
import type { LoadOptions } from '../../src/index.ts';
import { expectWritable, writeWholeFile } from './whole-file.ts';

export interface TraceFile {
  readonly onTrace: NonNullable<LoadOptions['onTrace']>;
  /** Writes the file. */
  finish(): Promise<void>;
}

/** From top to bottom; lanes that others name come below. */
const firstLanes: readonly string[] = ['read', 'repack', 'target', 'draft'];

/** Throws `not-found` or `io` at once where the file could not be written in the end. */
export async function openTraceFile(path: string): Promise<TraceFile> {
  await expectWritable(path);
  const lanes = [...firstLanes];
  const programs: object[] = [];
  const laneOf = (lane: string): number => {
    if (!lanes.includes(lane)) lanes.push(lane);
    return lanes.indexOf(lane) + 1;
  };
  return {
    onTrace({ name, lane = 'target', startMs, durationMs, rows }) {
      const [ts, dur] = [startMs * 1000, durationMs * 1000];
      programs.push({ name, ph: 'X', cat: lane, ts, dur, pid: 1, tid: laneOf(lane), args: { rows } });
    },
    finish() {
      const names = lanes.flatMap((lane, index) => {
        const place = { ph: 'M', pid: 1, tid: index + 1 };
        return [
          { ...place, name: 'thread_name', args: { name: lane } },
          { ...place, name: 'thread_sort_index', args: { sort_index: index } },
        ];
      });
      const trace = { displayTimeUnit: 'ms', traceEvents: [...names, ...programs] };
      return writeWholeFile(path, `${JSON.stringify(trace)}\n`);
    },
  };
}
