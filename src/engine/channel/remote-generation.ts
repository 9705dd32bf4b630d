/** A generation that runs in the engine worker, a few tokens ahead of its consumer. */
import { NearfieldError } from '../../base/error.ts';
import type { GeneratedToken, Generation, GenerationResult } from '../../engine.ts';
import type { PendingCall } from './call-client.ts';

export interface GenerationStart {
  /** Sends the call and marks the session busy; throws where it is busy already. */
  begin(onTokens: (batch: readonly GeneratedToken[]) => void): PendingCall<'generate'>;
  /** Cuts the session to this many tokens. */
  cut(length: number): Promise<void>;
  /** The session is free again. */
  end(): void;
}

export class RemoteGeneration implements Generation {
  readonly #start: GenerationStart;
  #iterator: AsyncGenerator<GeneratedToken, void, void> | undefined;
  readonly #outcome: Promise<GenerationResult>;
  #resolve: (result: GenerationResult) => void = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor(start: GenerationStart) {
    this.#start = start;
    this.#outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Nobody has to ask for the result.
    this.#outcome.catch(() => {});
  }

  [Symbol.asyncIterator](): AsyncGenerator<GeneratedToken, void, void> {
    if (this.#iterator) throw new NearfieldError('bad-argument', 'A generation is iterated once');
    this.#iterator = this.#run();
    return this.#iterator;
  }

  async result(): Promise<GenerationResult> {
    if (!this.#iterator) for await (const _ of this);
    return this.#outcome;
  }

  async *#run(): AsyncGenerator<GeneratedToken, void, void> {
    const arrived: (readonly GeneratedToken[])[] = [];
    let wake = (): void => {};
    const call = this.#begin((batch) => {
      arrived.push(batch);
      wake();
    });
    let isAnswered = false;
    const answered = () => {
      isAnswered = true;
      wake();
    };
    call.answer.then(answered, answered);
    const seen: GeneratedToken[] = [];
    let isThrough = false;
    try {
      while (!isAnswered || arrived.length > 0) {
        const batch = arrived.shift();
        for (const token of batch ?? []) {
          if (!token.provisional) seen.push(token);
          yield token;
        }
        if (batch) call.note('taken');
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
      isThrough = true;
      this.#resolve(await call.answer);
    } catch (error) {
      this.#reject(error);
      throw error;
    } finally {
      if (!isThrough) await this.#leave(call, seen).then(this.#resolve, this.#reject);
      this.#start.end();
    }
  }

  #begin(onTokens: (batch: readonly GeneratedToken[]) => void): PendingCall<'generate'> {
    try {
      return this.#start.begin(onTokens);
    } catch (error) {
      this.#reject(error);
      throw error;
    }
  }

  /** Ends the generation where its consumer left it, whatever the worker has decided beyond. */
  async #leave(call: PendingCall<'generate'>, seen: readonly GeneratedToken[]): Promise<GenerationResult> {
    call.note('leave');
    const result = await call.answer;
    const tokens = seen.flatMap(({ id }) => (id === undefined ? [] : [id]));
    if (result.tokens.length > tokens.length)
      await this.#start.cut(result.promptTokens.length + tokens.length);
    return { ...result, tokens, text: seen.map(({ text }) => text).join(''), finish: 'stop' };
  }
}
