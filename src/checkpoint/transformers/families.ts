/** The table of families of transformers models. */
import { llama } from './family/llama.ts';
import { qwen2 } from './family/qwen.ts';
import type { TransformersFamily } from './family.ts';

const families: readonly TransformersFamily[] = [llama, qwen2];

/** Of config.json: what can be read. */
export const familyClasses: readonly string[] = families.flatMap(({ classes }) => classes);

export function familyOf(classes: readonly string[]): TransformersFamily | undefined {
  return families.find((family) => family.classes.some((name) => classes.includes(name)));
}
