/** One answer of the model: from the prompt to its last word, told to a view as it grows. */
import type { GenerateOptions, GenerationResult, Prompt, Session } from '../../src/index.ts';
import type { AnswerView } from './chat-view.ts';
import { sayRate } from './words.ts';

export interface Answer {
  readonly text: string;
  readonly remark: string;
  readonly tokensPerSecond: number;
}

/** The rate is taken over so many milliseconds at least. */
const rateMs = 500;

/** Resolves also where it was stopped; rejects with `aborted` where that was before the first word. */
export async function writeAnswer(
  session: Session,
  prompt: Prompt,
  options: GenerateOptions,
  view: AnswerView,
  onRate: (tokensPerSecond: number) => void,
): Promise<Answer> {
  view.remark('Reading…');
  const onPrompt: GenerateOptions['onPrompt'] = ({ doneRows, totalRows }) => {
    if (totalRows > 64) view.remark(`Reading, ${doneRows} of ${totalRows} tokens…`);
  };
  const generation = session.generate(prompt, { ...options, onPrompt });
  let count = 0;
  let mark = { count: 0, elapsedMs: 0 };
  for await (const { id, text, elapsedMs } of generation) {
    view.append(text);
    if (id === undefined) continue;
    if (count++ === 0) {
      mark = { count, elapsedMs };
      view.remark('');
    }
    if (elapsedMs - mark.elapsedMs < rateMs) continue;
    onRate((1000 * (count - mark.count)) / (elapsedMs - mark.elapsedMs));
    mark = { count, elapsedMs };
  }
  const result = await generation.result();
  return {
    text: result.text,
    remark: remarkOn(result),
    tokensPerSecond: result.timings.decodeTokensPerSecond,
  };
}

const endings: Readonly<Partial<Record<GenerationResult['finish'], string>>> = {
  aborted: 'stopped',
  length: 'reached the limit set',
  context: 'the context is full: begin a new conversation',
};

export function remarkOn({ tokens, timings, finish }: GenerationResult): string {
  const rate = timings.decodeTokensPerSecond;
  return [
    `${tokens.length} tokens`,
    ...(Number.isFinite(rate) && rate > 0 ? [sayRate(rate)] : []),
    ...(endings[finish] === undefined ? [] : [endings[finish]]),
  ].join(' · ');
}
