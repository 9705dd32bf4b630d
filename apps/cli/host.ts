/** What commands have of the process: its output, and word of interruptions. */
import type { NearfieldError } from '../../src/index.ts';
import { exitCodes } from './failure.ts';
import { fileError } from './whole-file.ts';

export interface Host {
  /** Fires at the first Ctrl-C (unless `onInterrupt` takes it), at SIGTERM, and when the output takes no more. */
  readonly signal: AbortSignal;
  /** Result: to standard output; waits while the reader is slow. */
  write(text: string): Promise<void>;
  /** Remarks: a line to standard error. */
  note(line: string): void;
  /** Takes Ctrl-C over until it is disposed; `false` from the listener leaves it to the host. */
  onInterrupt(listener: () => boolean): Disposable;
  readonly isInputTerminal: boolean;
  readonly isOutputTerminal: boolean;
  /** Whether that terminal is to show dim text and to move its cursor: not with NO_COLOR, nor where it can do neither. */
  readonly isOutputStyled: boolean;
  /** Of the terminal that the result goes to. */
  readonly outputColumns: number;
}

export interface ProcessHost extends Host {
  /** Exit code that an interruption calls for; 0 where the reader went away; undefined without either. */
  readonly interruptedCode: number | undefined;
  /** Why the result could not be written; a reader that went away is no failure. */
  readonly outputFailure: NearfieldError | undefined;
  close(): void;
}

/** One per process. A second interruption ends the process at once. */
export function openProcessHost(): ProcessHost {
  const { stdout, stderr } = process;
  const stop = new AbortController();
  const listeners: (() => boolean)[] = [];
  let interruptedCode: number | undefined;
  let outputFailure: NearfieldError | undefined;
  let wake: (() => void) | undefined;

  const end = (code: number): void => {
    if (interruptedCode !== undefined && code !== exitCodes.success) process.exit(code);
    interruptedCode ??= code;
    stop.abort();
    wake?.();
  };
  const onSignal = (name: NodeJS.Signals): void => {
    if (name === 'SIGTERM') end(exitCodes.terminated);
    else if (!listeners.some((listener) => listener())) end(exitCodes.interrupted);
  };
  const onOutputError = (error: NodeJS.ErrnoException): void => {
    if (outputFailure || interruptedCode === exitCodes.success) return;
    if (error.code === 'EPIPE') end(exitCodes.success);
    else {
      outputFailure = fileError('Cannot write the result', error);
      stop.abort();
      wake?.();
    }
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  stdout.on('error', onOutputError);
  // Remarks that nobody takes are no reason to give up a result.
  stderr.on('error', () => {});
  return {
    signal: stop.signal,
    get interruptedCode() {
      return interruptedCode;
    },
    get outputFailure() {
      return outputFailure;
    },
    isInputTerminal: process.stdin.isTTY === true,
    isOutputTerminal: stdout.isTTY === true,
    isOutputStyled: stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb',
    get outputColumns() {
      return stdout.columns ?? 80;
    },
    async write(text) {
      if (outputFailure || interruptedCode === exitCodes.success) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
        stdout.write(text, (error) => {
          if (error) onOutputError(error);
          resolve();
        });
      });
    },
    note: (line) => void stderr.write(`${line}\n`),
    onInterrupt(listener) {
      listeners.push(listener);
      return {
        [Symbol.dispose]() {
          listeners.splice(listeners.indexOf(listener), 1);
        },
      };
    },
    close() {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    },
  };
}
