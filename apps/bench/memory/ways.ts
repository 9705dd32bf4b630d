/** The contenders of `bench:memory`, each one thing more than the one before it. */
import type { FallbackName, ProposerName } from '../../../src/decoder.ts';

export interface Way {
  /** As tables have it. */
  readonly name: string;
  readonly decoder: ProposerName;
  readonly fallback?: FallbackName;
  readonly idleDrafting?: boolean;
  /** Whether the draft is loaded; else its memory stays unused. */
  readonly hasDraft: boolean;
  /** Instead of a draft, what it would take is given to the target's layers. */
  readonly hasDraftsMemory?: boolean;
  /** Takes a pass of the target for every token. */
  readonly isPlain?: boolean;
}

/** The file as it is, and as llama.cpp does not repack it. */
export const nativeNames = {
  target: 'llama.cpp, mmap',
  wideTarget: 'llama.cpp, mmap, the same weights in Q4_1',
};

const draft = { decoder: 'tree', hasDraft: true } as const;
const plain = { decoder: 'plain', hasDraft: false, isPlain: true } as const;

export const streamedWays = {
  plain: { name: 'plain streaming', ...plain },
  roomy: { name: 'plain, with the memory of the draft', ...plain, hasDraftsMemory: true },
  chain: { name: '+ linear draft', ...draft, fallback: 'chain', idleDrafting: false },
  bush: { name: '+ tree', ...draft, fallback: 'bush', idleDrafting: false },
  adaptive: { name: '+ adaptive fallback', ...draft, fallback: 'adaptive', idleDrafting: false },
  provisional: { name: '+ provisional tokens', ...draft, fallback: 'adaptive' },
  cost: { name: '+ cost policy', ...draft, fallback: 'cost' },
} as const satisfies Record<string, Way>;

export const residentWays = {
  plain: { name: 'plain', ...plain },
  chain: { name: 'linear draft', ...draft, fallback: 'chain' },
  adaptive: { name: 'tree, adaptive fallback', ...draft, fallback: 'adaptive' },
  cost: { name: 'tree, cost policy', ...draft, fallback: 'cost' },
  auto: { name: 'auto', decoder: 'auto', hasDraft: true },
} as const satisfies Record<string, Way>;

export const quotingWays = {
  plain: residentWays.plain,
  lookup: { name: 'lookup', decoder: 'lookup', hasDraft: false },
} as const satisfies Record<string, Way>;
