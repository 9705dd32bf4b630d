/** Conversations in the browser's IndexedDB. */
import type { Conversation } from './conversation.ts';

const tableName = 'conversations';

export class ConversationStore {
  readonly #database: IDBDatabase;

  private constructor(database: IDBDatabase) {
    this.#database = database;
  }

  static async open(name = 'nearfield'): Promise<ConversationStore> {
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => void opening.result.createObjectStore(tableName, { keyPath: 'id' });
    return new ConversationStore(await settled(opening));
  }

  /** The one changed last comes first. */
  async all(): Promise<Conversation[]> {
    const found: Conversation[] = await settled(this.#table('readonly').getAll());
    return found.sort((a, b) => b.changedMs - a.changedMs);
  }

  async put(conversation: Conversation): Promise<void> {
    await settled(this.#table('readwrite').put(conversation));
  }

  async delete(id: string): Promise<void> {
    await settled(this.#table('readwrite').delete(id));
  }

  #table(mode: IDBTransactionMode): IDBObjectStore {
    return this.#database.transaction(tableName, mode).objectStore(tableName);
  }
}

function settled<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
