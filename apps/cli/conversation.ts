/** What was said so far, and its file form. */
import { type ChatMessage, NearfieldError } from '../../src/index.ts';
import { readTextFile, writeWholeFile } from './whole-file.ts';

const roles: readonly string[] = ['system', 'user', 'assistant'];

export class Conversation {
  readonly messages: ChatMessage[] = [];
  readonly #system: string | undefined;

  constructor(system: string | undefined) {
    this.#system = system;
    this.clear();
  }

  /** Back to the system message. */
  clear(): void {
    this.messages.length = 0;
    if (this.#system !== undefined) this.messages.push({ role: 'system', content: this.#system });
  }

  async save(path: string): Promise<void> {
    await writeWholeFile(path, `${JSON.stringify({ messages: this.messages }, undefined, 2)}\n`);
  }

  /** Takes the file's messages in place of its own. Throws `bad-file`, and keeps its own, where they are none. */
  async load(path: string): Promise<void> {
    const messages = parseMessages(await readTextFile(path));
    if (!messages) {
      throw new NearfieldError('bad-file', `${path} holds no conversation; give a file that /save wrote`);
    }
    this.messages.splice(0, this.messages.length, ...messages);
  }
}

function parseMessages(text: string): ChatMessage[] | undefined {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    return undefined;
  }
  const messages =
    typeof file === 'object' && file !== null && 'messages' in file ? file.messages : undefined;
  return Array.isArray(messages) && messages.every(isMessage) ? messages : undefined;
}

function isMessage(value: unknown): value is ChatMessage {
  if (typeof value !== 'object' || value === null || !('role' in value) || !('content' in value))
    return false;
  return typeof value.content === 'string' && roles.includes(String(value.role));
}
