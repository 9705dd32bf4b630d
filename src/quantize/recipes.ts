/**
 * Recipes (a data table): which tensor gets which format in the mixes people download. They are llama.cpp's, so that a file
 * made here has the same formats tensor by tensor, but for what it does for Falcon alone.
 */

/** What a tensor is for, as its name tells. A head that shares its weights with the embedding counts as `head`. */
export type TensorRole =
  | 'head'
  | 'embedding'
  | 'attn_v'
  | 'attn_k'
  | 'attn_q'
  | 'attn_output'
  | 'ffn_gate'
  | 'ffn_up'
  | 'ffn_down'
  | 'other';

export interface Rule {
  readonly tensors: readonly TensorRole[];
  readonly format: string;
  /**
   * Of the layers 0…n−1 only: the first `count`, the first n / `part` (rounded down), or, as `delicate`, the first and last
   * eighth and every third between.
   */
  readonly layers?: { readonly count: number } | { readonly part: number } | 'delicate';
  /** Only in models with at least so many query heads to one of keys and values. */
  readonly leastGroups?: number;
  /** Only in models with so many experts. */
  readonly experts?: number;
  /** Only in models with so many layers. */
  readonly layerCount?: number;
  /** Only tensors that stack the matrices of several experts. */
  readonly stacked?: boolean;
  /** Only with, or only without an importance matrix. */
  readonly imatrix?: boolean;
}

export interface Recipe {
  readonly name: string;
  /** Other names of it. */
  readonly aliases?: readonly string[];
  /** `general.file_type` as llama.cpp numbers it; undefined where it has no number. */
  readonly fileType?: number;
  readonly about: string;
  /** Of every matrix that no rule names. */
  readonly format: string;
  /** The first that fits decides. */
  readonly rules: readonly Rule[];
}

/** The head decides the next token directly and is read once, so it is worth more bits. */
export const headRule: Rule = { tensors: ['head'], format: 'q6_k' };

/** Mixtral: these are small beside eight experts. */
const eightExperts: readonly Rule[] = [
  { tensors: ['attn_v', 'attn_k'], experts: 8, format: 'q8_0' },
  { tensors: ['attn_output'], experts: 8, format: 'q5_k' },
];
const eightExpertsHighBits: readonly Rule[] = [{ tensors: ['attn_v', 'attn_k'], experts: 8, format: 'q8_0' }];
/** Llama 70B: eight query heads share a head of values, so its matrix is small. */
const eightyLayers: Rule = { tensors: ['attn_v'], layerCount: 80, leastGroups: 2, format: 'q5_k' };

export const recipes: readonly Recipe[] = [
  { name: 'f32', fileType: 0, about: 'floats of 32 bits', format: 'f32', rules: [] },
  { name: 'f16', fileType: 1, about: 'halves', format: 'f16', rules: [] },
  { name: 'bf16', fileType: 32, about: 'the upper half of a float', format: 'bf16', rules: [] },
  {
    name: 'q8_0',
    fileType: 7,
    about: 'as good as halves',
    format: 'q8_0',
    rules: eightExpertsHighBits,
  },
  {
    name: 'q6_k',
    fileType: 18,
    about: 'hardly a loss',
    format: 'q6_k',
    rules: [headRule, ...eightExpertsHighBits],
  },
  {
    name: 'q5_k_m',
    aliases: ['q5_k'],
    fileType: 17,
    about: 'Q5_K, half of attn_v and ffn_down in Q6_K',
    format: 'q5_k',
    rules: [
      headRule,
      ...eightExpertsHighBits,
      { tensors: ['attn_v', 'ffn_down'], layers: 'delicate', format: 'q6_k' },
    ],
  },
  {
    name: 'q5_k_s',
    fileType: 16,
    about: 'Q5_K throughout',
    format: 'q5_k',
    rules: [headRule, ...eightExpertsHighBits],
  },
  {
    name: 'q5_1',
    fileType: 9,
    about: 'older than the K formats',
    format: 'q5_1',
    rules: [headRule, ...eightExpertsHighBits],
  },
  {
    name: 'q5_0',
    fileType: 8,
    about: 'older than the K formats',
    format: 'q5_0',
    rules: [
      headRule,
      ...eightExpertsHighBits,
      { tensors: ['ffn_down'], imatrix: true, layers: { part: 8 }, format: 'q5_1' },
    ],
  },
  {
    name: 'q4_k_m',
    aliases: ['q4_k'],
    fileType: 15,
    about: 'Q4_K, half of attn_v and ffn_down in Q6_K: the usual choice',
    format: 'q4_k',
    rules: [
      headRule,
      ...eightExperts,
      { tensors: ['attn_v', 'ffn_down'], layers: 'delicate', format: 'q6_k' },
      eightyLayers,
    ],
  },
  {
    name: 'q4_k_s',
    fileType: 14,
    about: 'Q4_K, the first attn_v and ffn_down in Q5_K',
    format: 'q4_k',
    rules: [
      headRule,
      ...eightExperts,
      { tensors: ['attn_v'], layers: { count: 4 }, format: 'q5_k' },
      { tensors: ['ffn_down'], layers: { part: 8 }, format: 'q5_k' },
      eightyLayers,
    ],
  },
  {
    name: 'iq4_nl',
    fileType: 25,
    about: 'uneven levels, blocks of 32',
    format: 'iq4_nl',
    rules: [
      headRule,
      ...eightExperts,
      { tensors: ['attn_v'], leastGroups: 4, format: 'q5_k' },
      { tensors: ['ffn_down'], imatrix: false, layers: { part: 8 }, format: 'q5_k' },
    ],
  },
  {
    name: 'iq4_xs',
    fileType: 30,
    about: 'uneven levels, blocks of 256',
    format: 'iq4_xs',
    rules: [
      headRule,
      ...eightExperts,
      { tensors: ['attn_v'], leastGroups: 4, format: 'q5_k' },
      { tensors: ['ffn_down'], imatrix: false, layers: { part: 8 }, format: 'q5_k' },
    ],
  },
  {
    name: 'q4_1',
    fileType: 3,
    about: 'older than the K formats',
    format: 'q4_1',
    rules: [headRule, ...eightExpertsHighBits],
  },
  {
    name: 'q4_0',
    fileType: 2,
    about: 'older than the K formats; the fastest',
    format: 'q4_0',
    rules: [
      headRule,
      ...eightExpertsHighBits,
      { tensors: ['ffn_down'], imatrix: true, layers: { part: 8 }, format: 'q4_1' },
    ],
  },
  {
    name: 'mxfp4_moe',
    fileType: 38,
    about: 'experts in MXFP4, all else in Q8_0, as gpt-oss comes',
    format: 'q8_0',
    rules: [
      {
        tensors: ['attn_v', 'attn_k', 'attn_q', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down', 'other'],
        stacked: true,
        format: 'mxfp4',
      },
    ],
  },
  {
    name: 'q3_k_l',
    fileType: 13,
    about: 'Q3_K, attn_v, attn_output and ffn_down in Q5_K',
    format: 'q3_k',
    rules: [
      headRule,
      ...eightExpertsHighBits,
      { tensors: ['attn_v', 'attn_output', 'ffn_down'], format: 'q5_k' },
    ],
  },
  {
    name: 'q3_k_m',
    aliases: ['q3_k'],
    fileType: 12,
    about: 'Q3_K, attn_v, attn_output and ffn_down in Q4_K',
    format: 'q3_k',
    rules: [
      headRule,
      ...eightExperts,
      { tensors: ['attn_v'], layers: { count: 2 }, format: 'q5_k' },
      eightyLayers,
      { tensors: ['ffn_down'], layers: { part: 16 }, format: 'q5_k' },
      { tensors: ['attn_v', 'attn_output', 'ffn_down'], format: 'q4_k' },
    ],
  },
  {
    name: 'q3_k_s',
    fileType: 11,
    about: 'Q3_K throughout',
    format: 'q3_k',
    rules: [headRule, ...eightExperts, eightyLayers],
  },
  {
    name: 'q2_k',
    fileType: 10,
    about: 'Q2_K, attn_v, attn_output and ffn_down in Q3_K: a large loss',
    format: 'q2_k',
    rules: [
      headRule,
      ...eightExperts,
      eightyLayers,
      { tensors: ['attn_v'], leastGroups: 4, format: 'q4_k' },
      { tensors: ['attn_v', 'attn_output', 'ffn_down'], format: 'q3_k' },
    ],
  },
];

/** Where blocks do not fill the rows of a tensor: the formats tried next, the last of which always fits. */
export const fallbacks: Readonly<Record<string, readonly string[]>> = {
  q2_k: ['q4_0', 'f16'],
  q3_k: ['q4_0', 'f16'],
  q4_k: ['q5_0', 'f16'],
  q5_k: ['q5_1', 'f16'],
  q6_k: ['q8_0', 'f16'],
  iq4_xs: ['iq4_nl', 'f16'],
};

/** Of formats without a line above. */
export const lastFallback: readonly string[] = ['f16'];
