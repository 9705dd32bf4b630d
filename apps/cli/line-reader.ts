/** Lines that a person types or a program pipes in, one at a time. */
import { createInterface } from 'node:readline';

export interface LineReader extends Disposable {
  /** Undefined when there are no more. Shows `prompt` on standard error where the input is a terminal. */
  next(prompt: string): Promise<string | undefined>;
}

/** `onInterrupt` hears of Ctrl-C, which a terminal in line mode keeps from the process. */
export function openLineReader(isTerminal: boolean, onInterrupt: () => void): LineReader {
  const lines = createInterface({
    input: process.stdin,
    terminal: isTerminal,
    ...(isTerminal ? { output: process.stderr } : {}),
  });
  const waiting: string[] = [];
  let isOver = false;
  let wake: (() => void) | undefined;
  lines.on('line', (line) => {
    waiting.push(line);
    wake?.();
  });
  lines.on('close', () => {
    isOver = true;
    wake?.();
  });
  lines.on('SIGINT', onInterrupt);
  return {
    async next(prompt) {
      if (isTerminal && waiting.length === 0 && !isOver) {
        lines.setPrompt(prompt);
        lines.prompt();
      }
      while (waiting.length === 0 && !isOver) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return waiting.shift();
    },
    [Symbol.dispose]: () => lines.close(),
  };
}
