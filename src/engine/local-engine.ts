/** An engine on this thread. */
import type { DeviceWork } from '../backend.ts';
import { NearfieldError } from '../base/error.ts';
import type { FallbackName, ProposerName } from '../decoder.ts';
import type {
  Engine,
  EngineDescription,
  MachineReport,
  MemoryReport,
  Session,
  StreamingReport,
} from '../engine.ts';
import type { PlanExecutor } from '../executor.ts';
import type { KvCache } from '../kv-cache.ts';
import type { Tokenizer } from '../tokenizer.ts';
import type { Budget, Weights } from '../weights.ts';
import type { Chat, ChatMessage } from './chat.ts';
import { checkMessages, checkText } from './check-arguments.ts';
import type { Draft } from './draft.ts';
import { LocalSession } from './local-session.ts';
import type { Recovery } from './recovery.ts';
import { decodeSnapshot } from './snapshot.ts';

/** What an engine is made of; its sessions share it. */
export interface EngineParts {
  readonly description: EngineDescription;
  readonly tokenizer: Tokenizer;
  readonly chat: Chat;
  readonly cache: KvCache;
  readonly executor: PlanExecutor;
  /** Of the machine that computes at present. */
  weights(): Weights;
  readonly budget: Budget;
  readonly contextLength: number;
  /** That compute a token at present. */
  threads(): number;
  machine(): MachineReport;
  deviceWork(): DeviceWork | undefined;
  readonly draft: Draft | undefined;
  /** Where the machine may be lost. */
  readonly recovery: Recovery | undefined;
  /** For generations that state none. */
  readonly decoder: ProposerName | undefined;
  readonly fallback: FallbackName | undefined;
  /** Identity of model and cache layout. */
  snapshotKey(): Promise<string>;
  close(): Promise<void>;
}

export class LocalEngine implements Engine {
  readonly description: EngineDescription;
  readonly #parts: EngineParts;
  readonly #sessions = new Set<LocalSession>();
  #closed = false;

  constructor(parts: EngineParts) {
    this.description = parts.description;
    this.#parts = parts;
  }

  async session(): Promise<Session> {
    return this.#adopt(new LocalSession(this.#open(), this.#parts.cache.openSequence(), []));
  }

  async restore(bytes: Uint8Array): Promise<Session> {
    const { cache, contextLength, description, snapshotKey } = this.#open();
    const { header, pages } = decodeSnapshot(bytes, await snapshotKey());
    const rows = Math.max(0, header.tokens.length - 1);
    const pageCount = Math.ceil(rows / cache.pageRows);
    const wrong = header.tokens.find((id) => id >= description.vocabularySize);
    if (rows > contextLength || wrong !== undefined || pages.length !== pageCount * cache.pageBytes) {
      throw new NearfieldError(
        'bad-file',
        'The saved session cannot be restored: it is damaged or too long for this context',
      );
    }
    let next = 0;
    const sequence = await cache.restore(rows, async (page) => {
      page.set(pages.subarray(next, next + page.length));
      next += page.length;
    });
    return this.#adopt(new LocalSession(this.#parts, sequence, [...header.tokens]));
  }

  async tokenize(text: string, options: { special?: boolean; addSpecial?: boolean } = {}): Promise<number[]> {
    checkText(text);
    return this.#open().tokenizer.encode(text, options);
  }

  async detokenize(ids: readonly number[], options: { special?: boolean } = {}): Promise<string> {
    return this.#open().tokenizer.decode(ids, options);
  }

  async render(messages: readonly ChatMessage[]): Promise<string> {
    checkMessages(messages);
    return this.#open().chat.render(messages);
  }

  async memory(): Promise<MemoryReport> {
    const { weights, cache, executor, draft } = this.#open();
    return {
      weightsBytes: weights().packedBytes + (draft?.weights.packedBytes ?? 0),
      kvCacheBytes: cache.heldBytes + (draft?.cache.heldBytes ?? 0),
      arenaBytes: executor.arenaBytes + (draft?.executor.arenaBytes ?? 0),
    };
  }

  async changeMemoryBudget(bytes: number): Promise<void> {
    const { budget, cache, draft } = this.#open();
    cache.trim();
    draft?.cache.trim();
    budget.change(bytes);
  }

  async streaming(): Promise<StreamingReport | undefined> {
    const traffic = this.#open().weights().traffic();
    if (!traffic) return undefined;
    const { passes, bytesRead, readMs, computeMs, bothMs, repairedBlocks } = traffic;
    const share = (wholeMs: number): number => (wholeMs > 0 ? bothMs / wholeMs : 0);
    return {
      ...{ passes, bytesRead, readMs, computeMs, repairedBlocks },
      hiddenReadShare: share(readMs),
      hiddenComputeShare: share(computeMs),
    };
  }

  async deviceWork(): Promise<DeviceWork | undefined> {
    return this.#open().deviceWork();
  }

  async machine(): Promise<MachineReport> {
    return this.#open().machine();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([...this.#sessions].map((session) => session.close()));
    await this.#parts.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Begins to close; use `await using` to wait for it. */
  [Symbol.dispose](): void {
    void this.close();
  }

  #open(): EngineParts {
    if (this.#closed) throw new NearfieldError('bad-argument', 'The engine is closed');
    return this.#parts;
  }

  #adopt(session: LocalSession): LocalSession {
    this.#sessions.add(session);
    session.onFork = (fork) => this.#adopt(fork);
    session.onClose = () => this.#sessions.delete(session);
    return session;
  }
}
