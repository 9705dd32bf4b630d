/** The conversations kept on this device: listed, opened, deleted. */
import { type Conversation, titleOf } from './conversation.ts';
import { ConversationStore } from './conversation-store.ts';
import { announce, find, make, makeButton } from './dom.ts';
import { showErrorLine } from './errors.ts';
import { ask } from './question.ts';

export interface ConversationListListener {
  onOpen(conversation: Conversation): void;
  /** The one that is open was deleted. */
  onOpenDeleted(): void;
}

export class ConversationList {
  readonly #list = find('conversations', HTMLUListElement);
  readonly #empty = find('no-conversations', HTMLParagraphElement);
  readonly #listener: ConversationListListener;
  /** Undefined where the browser keeps nothing. */
  readonly #store: ConversationStore | undefined;
  #openId = '';

  private constructor(store: ConversationStore | undefined, listener: ConversationListListener) {
    this.#store = store;
    this.#listener = listener;
  }

  static async open(listener: ConversationListListener): Promise<ConversationList> {
    const store = await ConversationStore.open().catch(() => undefined);
    if (!store)
      showErrorLine('This browser keeps no conversations (a private window?); they end with this page');
    const list = new ConversationList(store, listener);
    if (!store) list.#empty.textContent = 'What you write ends with this page.';
    await list.refresh();
    return list;
  }

  async all(): Promise<readonly Conversation[]> {
    return (await this.#store?.all().catch(() => [])) ?? [];
  }

  /** What nothing was said in is not kept. */
  async keep(conversation: Conversation): Promise<void> {
    if (conversation.turns.length === 0) return;
    await this.#store?.put(conversation).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      showErrorLine(`The conversation was not kept (${reason}); free some storage`);
    });
    await this.refresh();
  }

  async markOpen(id: string): Promise<void> {
    this.#openId = id;
    await this.refresh();
  }

  async refresh(): Promise<void> {
    const conversations = await this.all();
    this.#empty.hidden = conversations.length > 0;
    const focused =
      document.activeElement instanceof HTMLElement ? document.activeElement.dataset.key : undefined;
    this.#list.replaceChildren(...conversations.map((conversation) => this.#row(conversation)));
    if (focused !== undefined) this.#list.querySelector<HTMLElement>(`[data-key="${focused}"]`)?.focus();
  }

  #row(conversation: Conversation): HTMLLIElement {
    const title = titleOf(conversation);
    const open = makeButton(title, 'conversation', () => this.#listener.onOpen(conversation));
    open.dataset.key = `open-${conversation.id}`;
    if (conversation.id === this.#openId) open.setAttribute('aria-current', 'true');
    const remove = makeButton('✕', 'quiet icon', () => void this.#delete(conversation.id, title));
    remove.setAttribute('aria-label', `Delete “${title}”`);
    return make('li', {}, open, remove);
  }

  async #delete(id: string, title: string): Promise<void> {
    if (!(await ask(`Delete “${title}”?`, 'Delete'))) return;
    await this.#store?.delete(id);
    announce('The conversation is deleted');
    if (id === this.#openId) this.#listener.onOpenDeleted();
    await this.refresh();
    find('new-conversation', HTMLButtonElement).focus();
  }
}
