/** A conversation, and what of it the model is given. */
import type { ChatMessage, Prompt } from '../../src/index.ts';

/** `chat`: messages for the model's template. `text`: one text that the model goes on with, where it has no template. */
export type ConversationKind = 'chat' | 'text';

export interface Turn {
  readonly role: 'user' | 'assistant';
  readonly text: string;
  /** Of an answer: how it came about, as a line. */
  readonly remark?: string;
}

export interface Conversation {
  readonly id: string;
  readonly kind: ConversationKind;
  readonly changedMs: number;
  readonly turns: readonly Turn[];
}

export function newConversation(kind: ConversationKind): Conversation {
  return { id: crypto.randomUUID(), kind, changedMs: Date.now(), turns: [] };
}

export function withTurns(conversation: Conversation, turns: readonly Turn[]): Conversation {
  return { ...conversation, turns, changedMs: Date.now() };
}

const longestTitle = 60;

export function titleOf({ turns }: Conversation): string {
  const text = (turns.find(({ role }) => role === 'user')?.text ?? '').replaceAll(/\s+/g, ' ').trim();
  if (text === '') return 'Nothing yet';
  return text.length <= longestTitle ? text : `${text.slice(0, longestTitle - 1).trimEnd()}…`;
}

/** Up to where the model goes on. */
export function promptOf({ kind, turns }: Conversation, system: string): Prompt {
  if (kind === 'text') return turns.reduce((text, turn) => text + spaceBetween(text, turn) + turn.text, '');
  const messages: ChatMessage[] = turns.map(({ role, text }) => ({ role, content: text }));
  return system.trim() === '' ? messages : [{ role: 'system', content: system.trim() }, ...messages];
}

/** What the user adds to a text begins a word of its own; what the model adds goes on where the text ends. */
export function spaceBetween(before: string, { role, text }: Turn): string {
  const joins =
    before === '' || role === 'assistant' || /\s$/.test(before) || /^[\s.,;:!?)\]}'’”]/.test(text);
  return joins ? '' : ' ';
}
