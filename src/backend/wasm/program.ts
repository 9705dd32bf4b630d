/** A prepared segment: a tape template, its memory, and the few instances of the tape that recent steps used. */

import type { Program, Ticket } from '../../backend.ts';
import { known } from '../../base/error.ts';
import type { Plan, Segment } from '../../plan.ts';
import type { DotVariant } from './dot-variant.ts';
import { Lowering } from './lower.ts';
import type { LinearMemory } from './memory.ts';
import type { TapeTemplate } from './tape.ts';
import type { TapeRunner } from './threads.ts';

/** Tapes kept per program: one token, a full chunk, a tree, and some that come once. */
export const mostInstances = 6;

interface Placed {
  readonly offset: number;
}

interface Instance {
  readonly address: number;
  arena: number;
  step: number;
  symbols: readonly number[];
  weights: readonly Placed[];
  /** Number of the last tape submitted from it. */
  lastSubmit: number;
}

export class TapeProgram implements Program {
  readonly segment: Segment;
  readonly #memory: LinearMemory;
  readonly #runner: TapeRunner;
  readonly #template: TapeTemplate;
  readonly #owned: number[] = [];
  readonly #instances: Instance[] = [];

  constructor(
    segment: Segment,
    plan: Plan,
    memory: LinearMemory,
    runner: TapeRunner,
    descriptions: ReadonlyMap<number, number>,
    dots: DotVariant,
  ) {
    this.segment = segment;
    this.#memory = memory;
    this.#runner = runner;
    const lowering = new Lowering(segment, plan, {
      constant: (bytes) => {
        const address = this.#own(bytes.byteLength);
        memory.view(address, bytes.byteLength).set(bytes);
        return address;
      },
      scratch: (byteLength) => this.#own(byteLength),
      dots,
      description: (layout) => known(descriptions.get(layout), 'description of a layout'),
    });
    this.#template = lowering.tape;
  }

  #own(byteLength: number): number {
    const address = this.#memory.allocate(byteLength, 'program');
    this.#owned.push(address);
    return address;
  }

  submit(arena: number, step: number, weights: readonly Placed[], symbols: readonly number[]): Ticket {
    const instance = this.#find(arena, step, weights, symbols) ?? this.#write(arena, step, weights, symbols);
    const ticket = this.#runner.submit(instance.address);
    instance.lastSubmit = this.#runner.submitted;
    return ticket;
  }

  #find(
    arena: number,
    step: number,
    weights: readonly Placed[],
    symbols: readonly number[],
  ): Instance | undefined {
    for (const instance of this.#instances) {
      if (instance.arena !== arena || instance.step !== step || instance.weights !== weights) continue;
      if (symbols.every((value, index) => instance.symbols[index] === value)) return instance;
    }
    return undefined;
  }

  #write(arena: number, step: number, weights: readonly Placed[], symbols: readonly number[]): Instance {
    const instance = this.#reusable() ?? this.#create();
    const words = new Int32Array(this.#memory.memory.buffer, instance.address, this.#template.wordCount);
    this.#template.instantiate(words, symbols, {
      arena,
      step,
      weights: weights.map((weight) => weight.offset),
    });
    Object.assign(instance, { arena, step, weights, symbols: [...symbols] });
    return instance;
  }

  /** The instance unused for longest, if enough exist and it does not run any more. */
  #reusable(): Instance | undefined {
    if (this.#instances.length < mostInstances) return undefined;
    const idle = this.#instances.filter((instance) => this.#runner.isDone(instance.lastSubmit));
    return idle.sort((a, b) => a.lastSubmit - b.lastSubmit)[0];
  }

  #create(): Instance {
    const address = this.#own(this.#template.wordCount * 4);
    const instance: Instance = { address, arena: -1, step: -1, symbols: [], weights: [], lastSubmit: 0 };
    this.#instances.push(instance);
    return instance;
  }

  dispose(): void {
    for (const address of this.#owned.splice(0)) this.#memory.release(address);
    this.#instances.length = 0;
  }
}
