/** The pipelines of tokenizer.json: one step, or a sequence of them, sequences inside sequences included. */
import { isRecord, type JsonRecord } from '../json.ts';

/** `listName` is what a sequence calls its steps, which differs between pipelines. */
export function stepsOf(step: unknown, listName: string): readonly JsonRecord[] {
  if (!isRecord(step)) return [];
  const list = step[listName];
  if (step.type !== 'Sequence' || !Array.isArray(list)) return [step];
  return list.filter(isRecord).flatMap((inner) => stepsOf(inner, listName));
}
