/** What commands have of the process: its output, and word of interruptions. */
import { exitCodes } from './failure.ts';

export interface Host {
  /** Fires at the first Ctrl-C (unless `onInterrupt` takes it), at SIGTERM, and when nobody reads the output any more. */
  readonly signal: AbortSignal;
  /** Result: to standard output; waits while the reader is slow. */
  write(text: string): Promise<void>;
  /** Remarks: a line to standard error. */
  note(line: string): void;
  /** Takes Ctrl-C over until it is disposed; `false` from the listener leaves it to the host. */
  onInterrupt(listener: () => boolean): Disposable;
  readonly isInputTerminal: boolean;
  readonly isOutputTerminal: boolean;
  /** Of the terminal that the result goes to. */
  readonly outputColumns: number;
}

export interface ProcessHost extends Host {
  /** Exit code that an interruption calls for; 0 where the reader went away; undefined without either. */
  readonly interruptedCode: number | undefined;
  close(): void;
}

/** One per process. A second interruption ends the process at once. */
export function openProcessHost(): ProcessHost {
  const { stdout, stderr } = process;
  const stop = new AbortController();
  const listeners: (() => boolean)[] = [];
  let interruptedCode: number | undefined;
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
    if (error.code !== 'EPIPE') throw error;
    end(exitCodes.success);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  stdout.on('error', onOutputError);
  stderr.on('error', onOutputError);
  return {
    signal: stop.signal,
    get interruptedCode() {
      return interruptedCode;
    },
    isInputTerminal: process.stdin.isTTY === true,
    isOutputTerminal: stdout.isTTY === true,
    get outputColumns() {
      return stdout.columns ?? 80;
    },
    async write(text) {
      if (stop.signal.aborted && interruptedCode === exitCodes.success) return;
      if (stdout.write(text)) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
        stdout.once('drain', resolve);
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
