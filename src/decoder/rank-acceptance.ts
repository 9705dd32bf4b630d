/**
 * What the draft's candidates have turned out to be worth: by rank, and by rank and stated confidence. What was seen long
 * ago fades. Every drawn token tells, also where the candidate was not among the verified: only the node above must have
 * been right.
 */
import type { Candidate } from './candidate-tree.ts';

/** Candidates looked at below one node. */
export const rankCount = 6;

/** Upper ends of the bins of stated confidence. */
const binEnds: readonly number[] = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.92, 1];
/** Believed by rank before anything was seen. */
const assumed: readonly number[] = [0.75, 0.12, 0.05, 0.03, 0.02, 0.015];
const assumedWeight = 4;
const statedWeight = 12;
const fading = 0.995;
/** Where nothing was asked of the draft, what is known about it grows old faster. */
const unusedFading = 0.98;

interface Counts {
  accepted: number;
  tried: number;
}

const counts = (length: number): Counts[] => Array.from({ length }, () => ({ accepted: 0, tried: 0 }));

export class RankAcceptance {
  readonly #byRank = counts(rankCount);
  readonly #byConfidence = counts(rankCount * binEnds.length);

  /** Probability that the target says the candidate of each rank, below a node that it has said. Falls with the rank. */
  get byRank(): readonly number[] {
    let least = 1;
    return this.#byRank.map(({ accepted, tried }, rank) => {
      const prior = assumed[rank] ?? 0;
      least = Math.min(least, (accepted + prior * assumedWeight) / (tried + assumedWeight));
      return least;
    });
  }

  /** The same of a candidate of which the draft states a confidence. */
  of(rank: number, stated: number): number {
    const { accepted, tried } = this.#at(rank, stated);
    return (accepted + stated * statedWeight) / (tried + statedWeight);
  }

  /** Below a node that was right, the target has said `token`. */
  learn(candidates: readonly Candidate[], token: number): void {
    for (const [rank, candidate] of candidates.entries()) {
      if (rank >= rankCount) return;
      const said = candidate.token === token ? 1 : 0;
      for (const count of [this.#rankAt(rank), this.#at(rank, candidate.share)]) {
        count.accepted = count.accepted * fading + said;
        count.tried = count.tried * fading + 1;
      }
    }
  }

  /** The draft was not asked. */
  leave(): void {
    for (const count of [...this.#byRank, ...this.#byConfidence]) {
      count.accepted *= unusedFading;
      count.tried *= unusedFading;
    }
  }

  #rankAt(rank: number): Counts {
    return this.#byRank[rank] ?? { accepted: 0, tried: 0 };
  }

  #at(rank: number, stated: number): Counts {
    const bin = binEnds.findIndex((end) => stated <= end);
    const place = rank * binEnds.length + (bin < 0 ? binEnds.length - 1 : bin);
    return this.#byConfidence[place] ?? { accepted: 0, tried: 0 };
  }
}
