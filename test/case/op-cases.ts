/** The one table of cases that every backend is held to. */
import { attentionCases } from './attention-cases.ts';
import { expertCases } from './expert-cases.ts';
import { layerCases } from './layer-cases.ts';
import { matmulCases } from './matmul-cases.ts';
import type { OpCase } from './op-case.ts';
import { ropeCases } from './rope-cases.ts';
import { rowCases } from './row-cases.ts';

export const opCases: readonly OpCase[] = [
  ...matmulCases,
  ...rowCases,
  ...ropeCases,
  ...attentionCases,
  ...expertCases,
  ...layerCases,
];
