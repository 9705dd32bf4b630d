/** What callers hand in, where types were got around: a wrong value is one line that says what was expected. */
import { NearfieldError } from '../base/error.ts';
import type { ChatMessage, GenerateOptions, Prompt } from '../engine.ts';

function refuse(what: string, value: unknown): never {
  const shown = Array.isArray(value) ? 'a list of other things' : typeof value;
  throw new NearfieldError('bad-argument', `${what}, not ${value === null ? 'null' : shown}`);
}

/** Of any call that takes some. */
export function checkOptions(options: object): void {
  if (typeof options !== 'object' || options === null) refuse('Options are an object', options);
  const { signal } = options as { signal?: unknown };
  if (signal !== undefined && !(signal instanceof AbortSignal)) refuse('signal is an AbortSignal', signal);
}

export function checkGenerateOptions({ stop, logitBias }: GenerateOptions): void {
  if (stop !== undefined && !isListOf(stop, isText)) refuse('stop is an array of texts', stop);
  if (logitBias !== undefined && !(logitBias instanceof Map))
    refuse('logitBias is a Map of token ids to numbers', logitBias);
}

/** Whether the prompt is ids. */
export function isIds(prompt: Prompt): prompt is readonly number[] {
  return isListOf(prompt, (item) => typeof item === 'number');
}

export function checkPrompt(prompt: Prompt): void {
  if (isText(prompt) || isIds(prompt) || isListOf(prompt, isMessage)) return;
  refuse('A prompt is a text, an array of token ids, or of messages with role and content', prompt);
}

export function checkMessages(messages: readonly ChatMessage[]): void {
  if (!isListOf(messages, isMessage))
    refuse('Messages are an array of objects with role and content', messages);
}

export function checkText(text: string): void {
  if (!isText(text)) refuse('A text is a string', text);
}

/** `known` are the values that an option takes. */
export function checkChoice(name: string, value: string | undefined, known: readonly string[]): void {
  if (value === undefined || known.includes(value)) return;
  throw new NearfieldError('bad-argument', `${name} is one of ${known.join(', ')}, not ${value}`);
}

const isText = (value: unknown): value is string => typeof value === 'string';

/** Arrays of numbers may be typed ones. */
function isListOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  const isList = Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
  return isList && (value as readonly unknown[]).every((item) => isItem(item));
}

function isMessage(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { role, content } = value as Partial<ChatMessage>;
  return (
    isText(role) && (content === undefined || content === null || isText(content) || Array.isArray(content))
  );
}
