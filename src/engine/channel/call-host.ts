/** The worker's end of the channel: takes calls, runs their handlers side by side, sends what comes of them. */
import type { WorkerPort } from '../../base/platform.ts';
import { carryError } from './carried-error.ts';
import type { CallName, ClientMessage, EngineCalls, WorkerMessage } from './message.ts';

export interface CallContext<Name extends CallName> {
  /** Fires when the client aborts the call. */
  readonly signal: AbortSignal;
  report(report: EngineCalls[Name]['report']): void;
  onNote(listener: (note: EngineCalls[Name]['note']) => void): void;
  /** Moves a buffer of the answer to the client instead of copying it. */
  transfer(buffer: ArrayBuffer): void;
}

export type CallHandlers = {
  readonly [Name in CallName]: (
    given: EngineCalls[Name]['given'],
    context: CallContext<Name>,
  ) => Promise<EngineCalls[Name]['answer']>;
};

interface RunningCall {
  readonly controller: AbortController;
  noted(note: unknown): void;
}

/** While a call is under way the client hears so often that the worker is not stuck. */
const aliveMs = 1000;

export function serveCalls(port: WorkerPort, handlers: CallHandlers): void {
  const running = new Map<number, RunningCall>();
  let pulse: ReturnType<typeof setInterval> | undefined;
  const post = (message: WorkerMessage, transfer: readonly Transferable[] = []) =>
    port.post(message, transfer);

  const serve = async ({ call, name, given }: ClientMessage & { kind: 'call' }): Promise<void> => {
    const handler = handlers[name] as (given: unknown, context: CallContext<CallName>) => Promise<unknown>;
    const controller = new AbortController();
    const state = { controller, noted: (_: unknown) => {} };
    const moved: ArrayBuffer[] = [];
    running.set(call, state);
    pulse ??= setInterval(() => post({ kind: 'alive' }), aliveMs);
    // It keeps no process of Node there.
    if (typeof pulse === 'object') pulse.unref();
    try {
      const answer = await handler(given, {
        signal: controller.signal,
        report: (report: unknown) => post({ kind: 'report', call, report }),
        onNote: (listener: (note: never) => void) => {
          state.noted = listener as (note: unknown) => void;
        },
        transfer: (buffer) => void moved.push(buffer),
      });
      post({ kind: 'answer', call, answer }, moved);
    } catch (error) {
      post({ kind: 'error', call, error: carryError(error) });
    } finally {
      running.delete(call);
      if (running.size === 0) {
        clearInterval(pulse);
        pulse = undefined;
      }
    }
  };

  port.onMessage((received) => {
    const message = received as ClientMessage;
    if (message.kind === 'call') void serve(message);
    else if (message.kind === 'abort') running.get(message.call)?.controller.abort();
    else running.get(message.call)?.noted(message.note);
  });
  post({ kind: 'ready' });
}
