/** The open conversation: what is said in it, and the model that answers. */
import type { Engine, Session } from '../../src/index.ts';
import { writeAnswer } from './answer.ts';
import { ChatView } from './chat-view.ts';
import { Composer } from './composer.ts';
import { type Conversation, newConversation, promptOf, type Turn, withTurns } from './conversation.ts';
import type { ConversationList } from './conversation-list.ts';
import { announce } from './dom.ts';
import { clearError, showError, showErrorLine } from './errors.ts';
import { generateOptionsOf, type Settings } from './settings.ts';

export interface ChatRoomListener {
  readonly settings: () => Settings;
  /** Of the answer under way, or of the last. */
  onRate(tokensPerSecond: number): void;
  onAnswered(): void;
}

interface RunningModel {
  readonly engine: Engine;
  readonly session: Session;
  readonly name: string;
}

export class ChatRoom {
  readonly #view: ChatView;
  readonly #composer: Composer;
  readonly #listener: ChatRoomListener;
  readonly #list: ConversationList;
  #conversation: Conversation = newConversation('chat');
  #model: RunningModel | undefined;
  /** Of the answer under way. */
  #stopping: AbortController | undefined;
  #answering: Promise<void> = Promise.resolve();

  constructor(list: ConversationList, listener: ChatRoomListener) {
    this.#list = list;
    this.#listener = listener;
    this.#view = new ChatView({ onRegenerate: () => this.#regenerate() });
    this.#composer = new Composer({
      onSend: (text) => this.#send(text),
      onStop: () => this.#stopping?.abort(),
    });
  }

  focus(): void {
    this.#composer.focus();
  }

  async use(engine: Engine, name: string): Promise<void> {
    this.#model = { engine, session: await engine.session(), name };
    if (this.#conversation.turns.length === 0) await this.begin();
    else this.#show();
  }

  async release(): Promise<void> {
    await this.#stop();
    this.#model = undefined;
  }

  async begin(): Promise<void> {
    await this.open(newConversation(this.#kind()));
  }

  async open(conversation: Conversation): Promise<void> {
    await this.#stop();
    this.#conversation = conversation;
    clearError();
    // At once: what is sent before the list has heard of it must not be drawn over.
    this.#show();
    await this.#list.markOpen(conversation.id);
  }

  #kind(): Conversation['kind'] {
    return this.#model && !this.#model.engine.description.hasChatTemplate ? 'text' : 'chat';
  }

  #show(): void {
    const isText = this.#conversation.kind === 'text';
    const welcome = isText
      ? 'Write the beginning of a text. The model goes on with it.'
      : `Say something to ${this.#model?.name ?? 'the model'}.`;
    this.#view.show(this.#conversation, welcome);
    this.#composer.setManner({
      label: isText ? (this.#conversation.turns.length > 0 ? 'Add to the text' : 'Begin a text') : 'Message',
      send: isText ? 'Continue' : 'Send',
      maySendNothing: isText && this.#conversation.turns.length > 0,
    });
  }

  #send(text: string): boolean {
    const turns: Turn[] = [...this.#conversation.turns];
    if (text !== '') turns.push({ role: 'user', text });
    return this.#answer(turns);
  }

  #regenerate(): void {
    const { turns } = this.#conversation;
    this.#answer(turns.at(-1)?.role === 'assistant' ? turns.slice(0, -1) : turns);
    this.#composer.focus();
  }

  /** Whether an answer has begun. */
  #answer(turns: readonly Turn[]): boolean {
    if (this.#stopping) return false;
    if (!this.#model) {
      showErrorLine('No model is loaded; choose one under Models');
      return false;
    }
    clearError();
    this.#conversation = withTurns(this.#conversation, turns);
    this.#show();
    this.#stopping = new AbortController();
    this.#answering = this.#run(this.#model, this.#conversation, this.#stopping.signal);
    return true;
  }

  async #run({ session }: RunningModel, conversation: Conversation, signal: AbortSignal): Promise<void> {
    const settings = this.#listener.settings();
    this.#composer.setBusy(true);
    announce('The model is writing');
    let turns = conversation.turns;
    const view = this.#view.beginAnswer(conversation.kind);
    try {
      await this.#list.keep(conversation);
      const prompt = promptOf(conversation, settings.system);
      const options = { ...generateOptionsOf(settings), signal };
      const answer = await writeAnswer(session, prompt, options, view, (rate) => this.#listener.onRate(rate));
      const { text, remark, tokensPerSecond } = answer;
      if (text !== '') turns = [...turns, { role: 'assistant', text, remark }];
      if (Number.isFinite(tokensPerSecond)) this.#listener.onRate(tokensPerSecond);
      announce(text === '' ? `Nothing was written: ${remark}` : text);
      if (text === '' && !signal.aborted) showErrorLine('The model ended at once; write more, or regenerate');
    } catch (error) {
      showError(error);
    } finally {
      this.#stopping = undefined;
      this.#composer.setBusy(false);
      this.#conversation = withTurns(conversation, turns);
      this.#show();
      await this.#list.keep(this.#conversation);
      this.#listener.onAnswered();
    }
  }

  async #stop(): Promise<void> {
    this.#stopping?.abort();
    await this.#answering;
  }
}
