/** Counts what speculation came to in one decoding. */
import type { FallbackName, SpeculationStats } from '../decoder.ts';
import type { CandidateTree } from './candidate-tree.ts';
import type { TreeDrafter } from './tree-drafter.ts';

/** Values of a series that are kept; beyond, every other one goes. */
const mostKept = 512;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export class SpeculationRecord {
  readonly #stats: Mutable<SpeculationStats>;
  readonly #alpha: number[] = [];
  /** Every so many verifications one value of α is kept. */
  #stride = 1;
  readonly #before: { readonly ms: number; readonly passes: number };

  constructor(fallback: FallbackName, drafter: TreeDrafter | undefined) {
    this.#before = drafter?.timeline.spent ?? { ms: 0, passes: 0 };
    this.#stats = {
      ...{ fallback, verifications: 0, draftPasses: 0, draftMs: 0, draftEnd: undefined },
      ...{ provisionalKept: 0, provisionalDropped: 0, alpha: this.#alpha },
    };
  }

  get stats(): SpeculationStats {
    return this.#stats;
  }

  /** A pass of the target is over. */
  verified(pass: { readonly chosen: number; readonly alpha: number | undefined }): void {
    if (pass.chosen === 0) return;
    this.#stats.verifications++;
    if (pass.alpha !== undefined && this.#stats.verifications % this.#stride === 0) {
      this.#alpha.push(pass.alpha);
    }
    if (this.#alpha.length < mostKept) return;
    this.#alpha.splice(0, mostKept, ...this.#alpha.filter((_, index) => index % 2 === 1));
    this.#stride *= 2;
  }

  drafted(drafter: TreeDrafter | undefined): void {
    if (!drafter) return;
    const { ms, passes } = drafter.timeline.spent;
    this.#stats.draftMs = ms - this.#before.ms;
    this.#stats.draftPasses = passes - this.#before.passes;
    this.#stats.draftEnd = drafter.end;
  }

  /** How many are kept, those on the way that the target took and those behind its end; and how many dropped. */
  countProvisional(tree: CandidateTree, drawn: readonly number[]): readonly [number, number] {
    const all = tree.nodes.filter(({ isProvisional }) => isProvisional).length;
    if (all === 0) return [0, 0];
    let [at, kept] = [0, 0];
    for (const token of drawn) {
      at = tree.child(at, token);
      if (at < 0) break;
      kept += Number(tree.at(at).isProvisional);
    }
    const behind = at < 0 ? [] : tree.below(at);
    kept += behind.filter((index) => tree.at(index).isProvisional).length;
    this.#stats.provisionalKept += kept;
    this.#stats.provisionalDropped += all - kept;
    // A tree that is carried over is counted once.
    for (const node of tree.nodes) node.isProvisional = false;
    return [kept, all - kept];
  }
}
