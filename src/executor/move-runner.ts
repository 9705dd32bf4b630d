/** Carries out copies of cache rows by the commit programs, as many at a time as a step block holds. */
import type { Backend, Region, StepBlock } from '../backend.ts';
import { known, NearfieldError } from '../base/error.ts';
import type { CacheMoveRow } from '../kv-cache.ts';
import type { StageRunner } from './stage-runner.ts';

const commitStages = ['commit'] as const;
const commitSymbols: readonly number[] = [1, 0];

export class MoveRunner {
  readonly #backend: Backend;
  readonly #runner: StageRunner;
  readonly #block: StepBlock;
  readonly #step: Region;
  readonly #limits: { readonly maxSequences: number; readonly maxMoves: number };
  /** Addresses of the pages in the block, each as a sequence of one page. */
  readonly #pages: number[] = [];

  constructor(
    backend: Backend,
    runner: StageRunner,
    block: StepBlock,
    step: Region,
    limits: { readonly maxSequences: number; readonly maxMoves: number },
  ) {
    this.#backend = backend;
    this.#runner = runner;
    this.#block = block;
    this.#step = step;
    this.#limits = limits;
  }

  async carryOut(moves: readonly CacheMoveRow[]): Promise<void> {
    for (let next = 0; next < moves.length; ) {
      next = this.#fill(moves, next);
      this.#backend.write(this.#step, 0, this.#block.bytes);
      const running = this.#runner.run(commitStages, commitSymbols, undefined);
      if (running) await running;
    }
  }

  /** Returns the first move that found no room. */
  #fill(moves: readonly CacheMoveRow[], start: number): number {
    this.#pages.length = 0;
    this.#block.clear();
    for (let index = start; index < moves.length; index++) {
      const { fromPage, fromRow, toPage, toRow } = known(moves[index], 'move');
      if (!this.#hasRoom(fromPage, toPage)) {
        if (index > start) return index;
        throw new NearfieldError('internal', 'A step block has no room for a move');
      }
      this.#block.move(this.#indexOf(fromPage), fromRow, this.#indexOf(toPage), toRow);
    }
    return moves.length;
  }

  #hasRoom(fromPage: number, toPage: number): boolean {
    const pages = this.#pages;
    const added = Number(!pages.includes(fromPage)) + Number(fromPage !== toPage && !pages.includes(toPage));
    return this.#block.moveCount < this.#limits.maxMoves && pages.length + added <= this.#limits.maxSequences;
  }

  #indexOf(page: number): number {
    const before = this.#pages.indexOf(page);
    if (before >= 0) return before;
    this.#pages.push(page);
    return this.#block.addSequence([page], 0);
  }
}
