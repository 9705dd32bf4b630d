/**
 * What is known of special tokens by their spelling alone. GGUF files state a few roles (`eos_token_id`, …) and often
 * type the rest wrongly, so every engine keeps such a list; this one follows llama.cpp's.
 */

/** Pieces that end a generation. They count as control tokens whatever the file says. */
export const endPieces: readonly string[] = [
  '<|eot_id|>', // Llama 3
  '<|eom_id|>',
  '<|im_end|>', // ChatML
  '<|end|>', // Phi 3
  '<|endoftext|>', // GPT-2 and many more
  '<|end_of_text|>', // Llama 3, Granite
  '<end_of_turn>', // Gemma
  '<turn|>', // Gemma 4
  '<|tool_response>',
  '<eos>',
  '</s>', // Llama 2
  '<EOT>',
  '_<EOT>',
  '[EOT]', // Kimi K2
  '[EOS]',
  '<｜end▁of▁sentence｜>', // DeepSeek
  '<end_of_utterance>', // SmolDocling
  '<|return|>', // harmony
  '<|call|>',
  '<|calls|>', // Solar
  '<|flush|>',
  '[e~[', // MiniMax
];

/** Fill-in-the-middle roles: the first listed piece the vocabulary has plays the role where the metadata names none. */
export const fillInMiddleRoles: readonly {
  readonly keys: readonly string[];
  readonly pieces: readonly string[];
  /** Whether producing it ends a generation. */
  readonly ends: boolean;
}[] = [
  {
    keys: ['tokenizer.ggml.fim_pre_token_id', 'tokenizer.ggml.prefix_token_id'],
    pieces: [
      '<|fim_prefix|>',
      '<fim-prefix>',
      '<fim_prefix>',
      '<｜fim▁begin｜>',
      '<PRE>',
      '▁<PRE>',
      '<|code_prefix|>',
      '<|prefix|>',
    ],
    ends: false,
  },
  {
    keys: ['tokenizer.ggml.fim_suf_token_id', 'tokenizer.ggml.suffix_token_id'],
    pieces: [
      '<|fim_suffix|>',
      '<fim-suffix>',
      '<fim_suffix>',
      '<｜fim▁hole｜>',
      '<SUF>',
      '▁<SUF>',
      '<|code_suffix|>',
      '<|suffix|>',
    ],
    ends: false,
  },
  {
    keys: ['tokenizer.ggml.fim_mid_token_id', 'tokenizer.ggml.middle_token_id'],
    pieces: [
      '<|fim_middle|>',
      '<fim-middle>',
      '<fim_middle>',
      '<｜fim▁end｜>',
      '<MID>',
      '▁<MID>',
      '<|code_middle|>',
      '<|middle|>',
    ],
    ends: false,
  },
  {
    keys: ['tokenizer.ggml.fim_pad_token_id'],
    pieces: ['<|fim_pad|>', '<fim-pad>', '<fim_pad>', '<PAD>', '[PAD]'],
    ends: true,
  },
  {
    keys: ['tokenizer.ggml.fim_rep_token_id'],
    pieces: ['<|fim_repo|>', '<|repo_name|>', '<fim-repo>', '<REPO>', '<reponame>'],
    ends: true,
  },
  { keys: ['tokenizer.ggml.fim_sep_token_id'], pieces: ['<|file_sep|>'], ends: true },
];

/** Markers a reader of the output needs to see (harmony's channels): user-defined, so they are never left out. */
export const shownPieces: readonly string[] = ['<|channel|>', '<|message|>', '<|start|>', '<|constrain|>'];

/** Where all of `having` are end pieces of a vocabulary, `spared` is part of a message there and not its end. */
export const endExceptions: readonly {
  readonly having: readonly string[];
  readonly spared: string;
  /** What the spared piece is then. */
  readonly kind: 'userDefined' | 'normal';
}[] = [
  { having: ['<|return|>', '<|call|>'], spared: '<|end|>', kind: 'userDefined' },
  { having: ['<|return|>', '<|calls|>'], spared: '<|end|>', kind: 'userDefined' },
  { having: ['<|call|>', '<|flush|>'], spared: '<|end|>', kind: 'userDefined' },
  { having: ['<|calls|>', '<|flush|>'], spared: '<|end|>', kind: 'userDefined' },
  { having: ['<|tool_response>'], spared: '</s>', kind: 'normal' },
];

/** Models whose special tokens swallow the white space after them; GGUF has no field for it. */
export const swallowingModels: readonly {
  /** Any of these inside `general.name`, in lower case. */
  readonly names: readonly string[];
  readonly except: readonly string[];
}[] = [{ names: ['phi-3', 'phi3'], except: ['<unk>', '<s>', '<|endoftext|>'] }];
