/** Where a prompt comes from: the command line, a file, or what is piped in. */
import { fstatSync } from 'node:fs';
import { UsageError } from './failure.ts';
import { readTextFile } from './whole-file.ts';

export interface PromptFlags {
  readonly prompt?: string;
  readonly file?: string;
  readonly promptIds?: readonly number[];
}

/** Said to the bundled model when nothing else is. */
export const bundledPrompt = 'Once upon a time';

/** Text or exact ids. `fallback` serves where nothing is given or piped in; undefined makes that a usage error. */
export async function readPrompt(
  { prompt, file, promptIds }: PromptFlags,
  fallback: string | undefined,
): Promise<string | readonly number[]> {
  const given = [prompt, file, promptIds].filter((value) => value !== undefined);
  if (given.length > 1) throw new UsageError('give only one of --prompt, --file and --prompt-ids');
  if (prompt !== undefined) return prompt;
  if (promptIds !== undefined) return promptIds;
  if (file !== undefined)
    return withoutLastNewline(file === '-' ? await readInput() : await readTextFile(file));
  const piped = isInputPiped() ? withoutLastNewline(await readInput()) : '';
  if (piped !== '') return piped;
  if (fallback === undefined) throw new UsageError('give a prompt: -p TEXT, -f FILE or a pipe');
  return fallback;
}

/** A file or a pipe rather than a terminal or nothing. */
function isInputPiped(): boolean {
  try {
    const input = fstatSync(0);
    return input.isFIFO() || input.isFile() || input.isSocket();
  } catch {
    return false;
  }
}

async function readInput(): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces).toString('utf8');
}

/** Editors and `echo` end a text with one; as the last token of a prompt it would ask for something else. */
const withoutLastNewline = (text: string): string => text.replace(/\r?\n$/, '');
