/** The table of architectures. */
import type { Architecture, Model } from '../architecture.ts';
import { NearfieldError } from '../base/error.ts';
import type { Checkpoint } from '../checkpoint.ts';
import { chatglm } from './chatglm.ts';
import { cohere2 } from './cohere2.ts';
import { commandR } from './command-r.ts';
import { falcon } from './falcon.ts';
import { gemma } from './gemma.ts';
import { gemma2 } from './gemma2.ts';
import { gemma3 } from './gemma3.ts';
import { glm4 } from './glm4.ts';
import { gptOss } from './gpt-oss.ts';
import { gpt2 } from './gpt2.ts';
import { gptneox } from './gptneox.ts';
import { granite } from './granite.ts';
import { llama } from './llama.ts';
import { olmo2 } from './olmo2.ts';
import { phi2 } from './phi2.ts';
import { phi3 } from './phi3.ts';
import { qwen2 } from './qwen2.ts';
import { qwen2moe } from './qwen2moe.ts';
import { qwen3 } from './qwen3.ts';
import { qwen3moe } from './qwen3moe.ts';
import { smollm3 } from './smollm3.ts';
import { stablelm } from './stablelm.ts';
import { starcoder2 } from './starcoder2.ts';

const table: readonly Architecture[] = [
  llama,
  qwen2,
  qwen3,
  gemma,
  gemma2,
  gemma3,
  phi2,
  phi3,
  chatglm,
  glm4,
  stablelm,
  starcoder2,
  gpt2,
  gptneox,
  falcon,
  smollm3,
  granite,
  olmo2,
  commandR,
  cohere2,
  qwen2moe,
  qwen3moe,
  gptOss,
];

/** Values of `general.architecture` that can be opened. */
export const architectureNames: readonly string[] = table.flatMap((architecture) => architecture.names);

/**
 * The model a checkpoint holds, its configuration and the shapes of all its weights checked. Throws `unsupported` for an
 * architecture not in the table, `bad-file` for a configuration or tensors that do not make one model.
 */
export async function openModel(checkpoint: Checkpoint, signal?: AbortSignal): Promise<Model> {
  const name = checkpoint.metadata.string('general.architecture');
  const architecture = table.find(({ names }) => names.includes(name));
  if (!architecture) {
    throw new NearfieldError(
      'unsupported',
      `Architecture ${JSON.stringify(name.slice(0, 40))} of ${checkpoint.name} is not supported; use a model of one of: ${architectureNames.join(', ')}`,
    );
  }
  return architecture.open(checkpoint, signal);
}
