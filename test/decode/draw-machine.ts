/** A backend's drawing over logits that a test states, and the host's sampler over the same. */
import {
  type Backend,
  DrawBlock,
  type DrawProgram,
  drawBlockLayout,
  type Region,
  StepBlock,
  Ticket,
} from '../../src/backend.ts';
import { known } from '../../src/base/error.ts';
import { uniformAt } from '../../src/base/random.ts';
import { DrawTerms } from '../../src/decoder/draw-terms.ts';
import { Sampler } from '../../src/decoder/sampler.ts';
import { resolveSampling } from '../../src/decoder/sampling-options.ts';
import type { SamplingOptions } from '../../src/decoder.ts';
import type { Plan } from '../../src/plan.ts';

export interface Drawn {
  readonly id: number;
  readonly isSure: boolean;
}

export interface DrawMachine {
  /** By the machine: the latest `unread` tokens of the history are told by slots. */
  draw(
    logits: Float32Array,
    options: SamplingOptions,
    history: readonly number[],
    unread: number,
  ): Promise<Drawn>;
  close(): void;
}

/** Normal numbers (Box and Muller). */
export function normalLogits(seed: number, vocabularySize: number, spread: number): Float32Array {
  return Float32Array.from({ length: vocabularySize }, (_, id) => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniformAt(seed, id, 1)));
    return spread * radius * Math.cos(2 * Math.PI * uniformAt(seed, id, 2));
  });
}

/** What the host draws; `history` are the tokens before. */
export function hostDraw(logits: Float32Array, options: SamplingOptions, history: readonly number[]): number {
  return new Sampler(options, logits.length, history).draw(logits, history.length);
}

export function openDrawMachine(backend: Backend, vocabularySize: number): DrawMachine {
  const drawing = known(backend.drawing, 'drawing');
  const block = new StepBlock({ rows: 1, selected: 1, sequences: 1, moves: 1, pages: 1, pageRows: 128 });
  const draw = new DrawBlock();
  const offset = 256;
  const arena = backend.allocate(offset + vocabularySize * 4, 'logits');
  const step: Region = backend.allocate(block.mostBytes + 4 * drawBlockLayout.words, 'step');
  // All that a draw looks at.
  const plan = {
    logits: { value: { type: { shape: [1, vocabularySize] } }, offset },
  } as unknown as Plan;
  const programs = new Map<string, DrawProgram>();
  const slotBytes = (slot: number): number => 4 * (block.drawnTokensWord + drawBlockLayout.drawnWords * slot);
  return {
    async draw(logits, options, history, unread) {
      const sampling = resolveSampling(options, vocabularySize);
      const terms = known(DrawTerms.of(sampling, vocabularySize), 'terms');
      const key = JSON.stringify(terms.shape);
      const program = programs.get(key) ?? drawing.prepare(plan, terms.shape);
      programs.set(key, program);
      backend.write(arena, offset, new Uint8Array(logits.buffer));
      block.clear();
      backend.write(step, 0, block.bytes);
      const latest = history.slice(history.length - unread);
      for (const [slot, id] of latest.entries()) {
        backend.write(step, slotBytes(slot), new Uint8Array(Uint32Array.of(id, 0).buffer));
      }
      const slot = 9;
      draw.begin(slot, terms.rule, uniformAt(sampling.seed, history.length));
      const seen = terms.seenOf(unread);
      draw.lookBack(latest.map((_, index) => index).slice(unread - seen));
      draw.adjust(known(terms.entries(history.slice(0, history.length - unread), unread), 'entries'));
      backend.write(step, 4 * block.drawBlockWord, draw.bytes);
      const ticket = new Ticket();
      drawing.submit(program, { arena, step, slotBytes: slotBytes(slot) }, ticket);
      await ticket.settled();
      const words = new Uint32Array(2);
      await backend.read(step, slotBytes(slot), new Uint8Array(words.buffer));
      const [id = 0, unsure = 0] = words;
      return { id, isSure: unsure === 0 };
    },
    close() {
      for (const program of programs.values()) program.dispose();
      backend.release(arena);
      backend.release(step);
    },
  };
}
