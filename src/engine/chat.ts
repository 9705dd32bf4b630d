/** Messages as a prompt: the model's chat template, or a plain one where it has none. */
import type { Metadata } from '../checkpoint.ts';
import { type ChatMessage, fallbackTemplate, openChatTemplate, type Tokenizer } from '../tokenizer.ts';

export type { ChatMessage } from '../tokenizer.ts';

export interface Chat {
  readonly hasTemplate: boolean;
  /** Messages as text, up to where the assistant begins to speak. */
  render(messages: readonly ChatMessage[]): string;
  encode(messages: readonly ChatMessage[]): number[];
}

export function openChat(metadata: Metadata, tokenizer: Tokenizer): Chat {
  const own = openChatTemplate(metadata, tokenizer);
  const template = own ?? fallbackTemplate(tokenizer);
  const render = (messages: readonly ChatMessage[]) =>
    template.render(messages, { addGenerationPrompt: true });
  return {
    hasTemplate: own !== undefined,
    render,
    encode(messages) {
      const ids = tokenizer.encode(render(messages), { special: true });
      // Templates write BOS themselves, or leave it to the vocabulary.
      const { bos, addBos } = tokenizer;
      return addBos && bos !== undefined && ids[0] !== bos ? [bos, ...ids] : ids;
    },
  };
}
