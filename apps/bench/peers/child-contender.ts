/** The parent's end of a contender: a child process, asked one thing at a time. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Call, ContenderSpec, Opened, Operation, Reply } from './contender.ts';

/**
 * Each thread that asks llama.cpp's build with OpenMP to compute gets workers of its own, which go on spinning for a while:
 * with Node's pool of four threads taking turns, decoding on two processors was seen at a fifth of its speed.
 */
const nativeEnvironment = { UV_THREADPOOL_SIZE: '1' };

type Waiting = { resolve: (value: never) => void; reject: (error: Error) => void };

export class ChildContender {
  readonly spec: ContenderSpec;
  readonly about: string;
  readonly canStep: boolean;
  /** From the start of the process, or of the page in a running browser, to the first token. */
  readonly firstTokenMs: number;
  readonly #channel: ReplyChannel;

  private constructor(spec: ContenderSpec, channel: ReplyChannel, opened: Opened) {
    this.spec = spec;
    this.about = opened.about;
    this.canStep = opened.canStep;
    this.firstTokenMs = opened.firstTokenAtMs - opened.startedAtMs;
    this.#channel = channel;
  }

  /** Throws what the engine failed with. */
  static async open(spec: ContenderSpec): Promise<ChildContender> {
    const channel = new ReplyChannel(spec);
    try {
      return new ChildContender(spec, channel, await channel.next<Opened>(0));
    } catch (error) {
      await channel.end();
      throw error;
    }
  }

  ask(operation: Operation, ...parameters: number[]): Promise<number> {
    return this.#channel.call(operation, parameters);
  }

  async close(): Promise<void> {
    await this.#channel.call('close', []).catch(() => {});
    await this.#channel.end();
  }
}

class ReplyChannel {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ended: Promise<void>;
  #lastCall = 0;

  constructor(spec: ContenderSpec) {
    const script = fileURLToPath(new URL('./child.ts', import.meta.url));
    const stdio = ['ignore', 'ignore', 'pipe', 'ipc'] as const;
    const env = { ...process.env, ...(spec.kind === 'native' ? nativeEnvironment : {}) };
    this.#child = fork(script, [JSON.stringify(spec)], { stdio: [...stdio], env });
    let remarks = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      remarks = (remarks + text).slice(-2000);
    });
    this.#child.on('message', (reply: Reply) => {
      const caller = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if (reply.error === undefined) caller?.resolve(reply.value as never);
      else caller?.reject(new Error(reply.error));
    });
    this.#ended = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        const reason = new Error(`the process of ${spec.kind} ended (${signal ?? code}) ${remarks}`.trim());
        for (const caller of this.#waiting.values()) caller.reject(reason);
        this.#waiting.clear();
        resolve();
      });
    });
  }

  next<Value>(id: number): Promise<Value> {
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  call(operation: Call['operation'], parameters: readonly number[]): Promise<number> {
    const id = ++this.#lastCall;
    const reply = this.next<number>(id);
    this.#child.send({ id, operation, parameters } satisfies Call);
    return reply;
  }

  async end(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#ended;
  }
}
