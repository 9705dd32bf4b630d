/** What is compared: the rows of the table, and what was aimed at. */

export interface Row {
  readonly name: string;
  readonly kind: 'first-token' | 'prompt' | 'decode' | 'step';
  /** Rows in the context before. */
  readonly depth: number;
  /** Of a prompt; rows of the larger step. */
  readonly tokens: number;
  /** Least share of native's speed, and what is aimed at; of a step's ratio the largest. `floorSmall` is for 134 M. */
  readonly native?: { readonly goal: number; readonly floor: number; readonly floorSmall?: number };
  /** The same against wllama 2. */
  readonly wllama?: { readonly goal: number; readonly floor: number };
}

const prompt = { kind: 'prompt', tokens: 512 } as const;
const decode = { kind: 'decode', tokens: 0 } as const;

/** In the order they are measured in, so that contexts only grow. */
export const rows: readonly Row[] = [
  {
    name: 'first token, cold start',
    kind: 'first-token',
    ...{ depth: 0, tokens: 16 },
    native: { goal: 1 / 1.2, floor: 1 / 1.2 },
    wllama: { goal: 2, floor: 2 },
  },
  {
    name: 'prompt of 512',
    ...prompt,
    depth: 0,
    native: { goal: 0.65, floor: 0.5 },
    wllama: { goal: 9, floor: 6 },
  },
  {
    name: 'decode, empty context',
    ...decode,
    depth: 0,
    native: { goal: 0.85, floor: 0.6, floorSmall: 0.45 },
    wllama: { goal: 5, floor: 3 },
  },
  { name: 'step of 8 rows over step of 1', kind: 'step', depth: 32, tokens: 8 },
  {
    name: 'decode, 512 in the context',
    ...decode,
    depth: 512,
    native: { goal: 1.1, floor: 0.75, floorSmall: 0.55 },
    wllama: { goal: 5, floor: 3 },
  },
  {
    name: 'decode, 4,096 in the context',
    ...decode,
    depth: 4096,
    native: { goal: 3, floor: 1.5 },
    wllama: { goal: 6, floor: 4 },
  },
  {
    name: 'prompt of 512 after 4,096',
    ...prompt,
    depth: 4096,
    native: { goal: 1.2, floor: 0.7 },
  },
];

export const contextRows = 4096 + 512 + 128;

/** Tokens per second are better high, milliseconds and the ratio of two steps low. */
export const isBetterLow = ({ kind }: Row): boolean => kind === 'first-token' || kind === 'step';

export const unitOf = ({ kind }: Row): string =>
  kind === 'first-token' ? 'ms' : kind === 'step' ? 'times' : 'tokens/s';
