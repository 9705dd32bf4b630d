/** What went wrong, as one line on the page. */
import { NearfieldError } from '../../src/index.ts';
import { find } from './dom.ts';

/** Undefined for what the user did. */
export function lineOf(error: unknown): string | undefined {
  if (error instanceof NearfieldError) return error.code === 'aborted' ? undefined : error.message;
  const reason = error instanceof Error ? error.message : String(error);
  return `Something is wrong with this page: ${reason.replaceAll(/\s+/g, ' ')}; load it again`;
}

export function showError(error: unknown): void {
  const line = lineOf(error);
  if (line !== undefined) showErrorLine(line);
}

export function showErrorLine(line: string): void {
  find('error-text', HTMLParagraphElement).textContent = line;
  find('error', HTMLDivElement).hidden = false;
}

export function clearError(): void {
  find('error', HTMLDivElement).hidden = true;
}
