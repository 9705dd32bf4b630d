/** A prepared segment: a tape template, its memory, and the few instances of the tape that recent steps used. */

import type { Program, Ticket } from '../../backend.ts';
import { known } from '../../base/error.ts';
import type { Plan, Segment } from '../../plan.ts';
import type { DotVariant } from './dot-variant.ts';
import { Lowering } from './lower.ts';
import type { LinearMemory } from './memory.ts';
import type { TapeTemplate } from './tape.ts';
import { newTape, type Tape, type TapeRunner, untimed } from './tape-runner.ts';

/** Tapes kept per program: one token, a full chunk, a tree, and some that come once. */
export const mostInstances = 6;

interface Placed {
  readonly offset: number;
}

interface Instance extends Tape {
  arena: number;
  step: number;
  symbols: readonly number[];
  weights: readonly Placed[];
  /** Submits of the program before its last. */
  lastUse: number;
}

export class TapeProgram implements Program {
  readonly segment: Segment;
  readonly #memory: LinearMemory;
  readonly #runner: TapeRunner;
  readonly #template: TapeTemplate;
  readonly #owned: number[] = [];
  readonly #instances: Instance[] = [];
  #submits = 0;

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

  submit(
    arena: number,
    step: number,
    weights: readonly Placed[],
    symbols: readonly number[],
    ticket: Ticket,
  ): void {
    const instance = this.#find(arena, step, weights, symbols) ?? this.#write(arena, step, weights, symbols);
    instance.lastUse = this.#submits++;
    this.#runner.submit(instance, ticket);
  }

  #find(
    arena: number,
    step: number,
    weights: readonly Placed[],
    symbols: readonly number[],
  ): Instance | undefined {
    const instances = this.#instances;
    for (let index = 0; index < instances.length; index++) {
      const instance = instances[index];
      if (instance?.arena !== arena || instance.step !== step || instance.weights !== weights) continue;
      if (equal(instance.symbols, symbols)) return instance;
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
    const rows = symbols[0] ?? 0;
    const fresh = { arena, step, weights, symbols: [...symbols], rows, microseconds: untimed };
    Object.assign(instance, fresh);
    return instance;
  }

  /** The instance unused for longest, if enough exist and it does not run any more. */
  #reusable(): Instance | undefined {
    if (this.#instances.length < mostInstances) return undefined;
    const idle = this.#instances.filter((instance) => instance.underWay === 0);
    return idle.sort((a, b) => a.lastUse - b.lastUse)[0];
  }

  #create(): Instance {
    const address = this.#own(this.#template.wordCount * 4);
    const instance: Instance = {
      ...newTape(address),
      ...{ arena: -1, step: -1, symbols: [], weights: [], lastUse: 0 },
    };
    this.#instances.push(instance);
    return instance;
  }

  dispose(): void {
    for (const address of this.#owned.splice(0)) this.#memory.release(address);
    this.#instances.length = 0;
  }
}

function equal(a: readonly number[], b: readonly number[]): boolean {
  for (let index = 0; index < b.length; index++) if (a[index] !== b[index]) return false;
  return true;
}
