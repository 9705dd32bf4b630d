/** A session that lives in the engine worker. */
import { NearfieldError } from '../../base/error.ts';
import type { GenerateOptions, Generation, Prompt, ScoreOptions, Session } from '../../engine.ts';
import type { CallClient, PendingCall } from './call-client.ts';
import type { CallName, EngineCalls, SessionHandle } from './message.ts';
import { RemoteGeneration } from './remote-generation.ts';

export class RemoteSession implements Session {
  readonly #client: CallClient;
  readonly #handle: SessionHandle;
  #generating: PendingCall<'generate'> | undefined;
  #closing: Promise<void> | undefined;

  constructor(client: CallClient, handle: SessionHandle) {
    this.#client = client;
    this.#handle = handle;
  }

  tokens(): Promise<readonly number[]> {
    return this.#call('tokens', { session: this.#handle });
  }

  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    const { signal, onPrompt, ...carried } = options;
    const given = {
      session: this.#handle,
      prompt: plainPrompt(prompt),
      options: carried,
      reportsPrompt: onPrompt !== undefined,
    };
    return new RemoteGeneration({
      begin: (onTokens) => {
        this.#expectFree();
        this.#generating = this.#client.call('generate', given, {
          signal,
          onReport: (report) => ('tokens' in report ? onTokens(report.tokens) : onPrompt?.(report.prompt)),
        });
        return this.#generating;
      },
      cut: (length) => this.#call('truncate', { session: this.#handle, length }),
      end: () => {
        this.#generating = undefined;
      },
    });
  }

  async score(ids: readonly number[], options: ScoreOptions = {}): Promise<Float64Array> {
    this.#expectFree();
    const { first, signal, onLogits } = options;
    const reportsLogits = onLogits !== undefined;
    return this.#client.call(
      'score',
      { session: this.#handle, ids: [...ids], first, reportsLogits },
      { signal, onReport: ({ row, logits }) => onLogits?.(row, logits) },
    ).answer;
  }

  async fork(): Promise<Session> {
    this.#expectFree();
    return new RemoteSession(this.#client, await this.#call('fork', { session: this.#handle }));
  }

  async truncate(length: number): Promise<void> {
    this.#expectFree();
    await this.#call('truncate', { session: this.#handle, length });
  }

  async pause(): Promise<void> {
    this.#expectOpen();
    await this.#call('pause', { session: this.#handle });
  }

  async resume(): Promise<void> {
    this.#expectOpen();
    await this.#call('resume', { session: this.#handle });
  }

  async save(): Promise<Uint8Array<ArrayBuffer>> {
    this.#expectFree();
    return this.#call('save', { session: this.#handle });
  }

  close(): Promise<void> {
    this.#generating?.abort();
    this.#closing ??= this.#call('closeSession', { session: this.#handle }).catch((error: unknown) => {
      // Closed with its engine.
      if (this.#client.isOpen) throw error;
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Begins to close; use `await using` to wait for it. */
  [Symbol.dispose](): void {
    this.close().catch(() => {});
  }

  #call<Name extends CallName>(
    name: Name,
    given: EngineCalls[Name]['given'],
  ): Promise<EngineCalls[Name]['answer']> {
    return this.#client.call(name, given).answer;
  }

  #expectOpen(): void {
    if (this.#closing) throw new NearfieldError('bad-argument', 'The session is closed');
  }

  /** The worker may be done with a generation whose consumer is not. */
  #expectFree(): void {
    this.#expectOpen();
    if (this.#generating)
      throw new NearfieldError(
        'bad-argument',
        'The session is busy; end its generation first, or fork it before',
      );
  }
}

/** Plain copies: a framework may have wrapped arrays and messages in proxies, which cannot be sent. */
function plainPrompt(prompt: Prompt): Prompt {
  if (typeof prompt === 'string') return prompt;
  return prompt.map((item) => (typeof item === 'number' ? item : { ...item })) as Prompt;
}
