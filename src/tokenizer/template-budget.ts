/**
 * What rendering a chat template may cost. Templates come with model files, from anyone; without a bound one could run
 * for ever or fill the memory with a few doublings. Work is counted in steps of about 100 ns; text costs one for every
 * 64 characters read or made, a list one for every element.
 */
import { NearfieldError } from '../base/error.ts';
import type { TemplateValue } from './jinja-library.ts';

export type Measured = Pick<TemplateValue, 'type' | 'value'>;

interface Extent {
  /** Characters and elements that printing the value would go through, shared parts counted as often as they occur. */
  readonly size: number;
  readonly depth: number;
}

const freeSteps = 1_000_000;
const stepsPerInputValue = 2_000;
const stepsPerInputCharacter = 4;
const freeSize = 8_000_000;
const sizePerInputSize = 16;
const maxDepth = 1_000;
const charactersPerStep = 64;

export class TemplateBudget {
  #steps = freeSteps;
  #maxSize = freeSize;
  #depth = 0;
  readonly #extents = new WeakMap<object, Extent>();

  /** Widens the bounds by what the caller himself gave as input: plain data, as JSON has it. */
  admit(input: unknown): void {
    if (typeof input === 'string') {
      this.#steps += stepsPerInputCharacter * input.length;
      this.#maxSize += sizePerInputSize * input.length;
    }
    this.#steps += stepsPerInputValue;
    this.#maxSize += sizePerInputSize;
    if (typeof input === 'object' && input !== null)
      for (const part of Object.values(input)) this.admit(part);
  }

  /** Throws `bad-file` when the steps are used up. */
  spend(steps: number): void {
    this.#steps -= steps;
    // The negated form also stops on NaN.
    if (!(this.#steps >= 0)) throw tooMuch('takes too many steps');
  }

  spendOnText(length: number): void {
    this.spend(length / charactersPerStep);
  }

  /** Throws `bad-file` where a value would grow beyond bounds; call it before the value is made. */
  allowSize(size: number): void {
    if (!(size <= this.#maxSize)) throw tooMuch('makes too large a text or list');
  }

  enter(): void {
    this.#depth += 1;
    if (this.#depth > maxDepth) throw tooMuch('is nested or calls itself too deeply');
  }

  leave(): void {
    this.#depth -= 1;
  }

  /** Counts the text that a value becomes where it is printed. */
  spendOnPrint(value: Measured): void {
    const { size } = this.extent(value);
    // Lists are printed piece by piece.
    this.spend(typeof value.value === 'string' ? size / charactersPerStep : size / 8);
  }

  /** Counts a value that came out of a step and checks its extent. */
  account(value: Measured): void {
    if (typeof value.value === 'string') {
      this.spendOnText(value.value.length);
      this.allowSize(value.value.length);
    } else if (typeof value.value === 'object' && value.value !== null) {
      this.allowSize(this.extent(value).size);
    }
  }

  /** Values are immutable once made, but for namespaces; those are measured anew each time and hold no other one. */
  extent(value: Measured): Extent {
    const content = value.value;
    if (typeof content === 'string') return { size: content.length + 2, depth: 0 };
    if (!Array.isArray(content) && !(content instanceof Map)) return { size: 8, depth: 0 };
    const isNamespace = value.type === 'NamespaceValue';
    const measured = isNamespace ? undefined : this.#extents.get(value);
    if (measured !== undefined) return measured;
    let size = 2;
    let depth = 0;
    const parts: Iterable<[unknown, Measured]> = content.entries();
    for (const [key, part] of parts) {
      if (part.type === 'NamespaceValue') throw tooMuch('keeps a namespace inside another value');
      const extent = this.extent(part);
      size += extent.size + 2 + (typeof key === 'string' ? key.length : 0);
      depth = Math.max(depth, extent.depth + 1);
    }
    const extent = { size, depth };
    if (!isNamespace) {
      this.#extents.set(value, extent);
      this.spend(lengthOf(value));
    }
    return extent;
  }
}

/** Elements or entries; 0 for what has none. */
export function lengthOf(value: Measured): number {
  if (Array.isArray(value.value)) return value.value.length;
  return value.value instanceof Map ? value.value.size : 0;
}

function tooMuch(what: string): NearfieldError {
  return new NearfieldError('bad-file', `The chat template ${what}; render with another template`);
}
