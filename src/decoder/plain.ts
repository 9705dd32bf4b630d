/** Proposes nothing: one token per pass of the model. */
import type { Proposer, TokenTree } from '../decoder.ts';
import { emptyTree } from './token-tree.ts';

export class PlainProposer implements Proposer {
  readonly name = 'plain';
  readonly isFree = true;

  propose(): TokenTree {
    return emptyTree;
  }
}
