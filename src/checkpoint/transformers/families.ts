/** The table of families of transformers models. */
import { cohere2, commandR } from './family/cohere.ts';
import { gemma, gemma2, gemma3 } from './family/gemma.ts';
import { chatglm, glm, glm4 } from './family/glm.ts';
import { falcon, gpt2, gptneox, stablelm, starcoder2 } from './family/gpt.ts';
import { gptOss } from './family/gpt-oss.ts';
import { granite, granitemoe } from './family/granite.ts';
import { llama, smollm3 } from './family/llama.ts';
import { olmo2 } from './family/olmo.ts';
import { phi2, phi3 } from './family/phi.ts';
import { qwen2, qwen2moe, qwen3, qwen3moe } from './family/qwen.ts';
import type { TransformersFamily } from './family.ts';

const families: readonly TransformersFamily[] = [
  ...[llama, smollm3, qwen2, qwen3, qwen2moe, qwen3moe, gemma, gemma2, gemma3],
  ...[phi2, phi3, chatglm, glm, glm4, gpt2, gptneox, falcon, starcoder2, stablelm],
  ...[granite, granitemoe, olmo2, commandR, cohere2, gptOss],
];

/** Of config.json: what can be read. */
export const familyClasses: readonly string[] = families.flatMap(({ classes }) => classes);

export function familyOf(classes: readonly string[]): TransformersFamily | undefined {
  return families.find((family) => family.classes.some((name) => classes.includes(name)));
}
