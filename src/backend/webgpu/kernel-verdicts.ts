/**
 * Which kernels were seen to be right on an adapter, and which wrong, and which ways to multiply are the quickest, kept from
 * one run to the next. A kernel is known by its whole text. What is older than a month is not believed: a browser does not
 * tell when the driver under it changed.
 */
import { sha256 } from '../../base/digest.ts';
import type { Store } from '../../store.ts';
import { areProductWays, type ProductWays } from './product-ways.ts';
import { type KernelText, shaderText } from './shader/kernel.ts';

export interface KernelVerdict {
  /** Of the kernel. */
  readonly key: string;
  /** What it computes wrongly; undefined for a right one. */
  readonly problem?: string | undefined;
}

interface KeptWays extends ProductWays {
  readonly measuredAtMs: number;
}

interface KeptVerdict extends KernelVerdict {
  /** Hash of the kernel's text. */
  readonly text: string;
  readonly checkedAtMs: number;
}

/** Changes whenever cases are added or made stricter. */
const casesVersion = 3;
const longestMs = 30 * 24 * 3600 * 1000;
const hashLength = 32;

const hashOf = async (text: string): Promise<string> =>
  (await sha256(new TextEncoder().encode(text), 'Kernels are checked')).slice(0, hashLength);

export class KernelVerdicts {
  readonly #store: Store | undefined;
  readonly #fileName: string;
  readonly #kept = new Map<string, KeptVerdict>();
  #ways: KeptWays | undefined;
  #isChanged = false;
  /** One write after the other. */
  #saving: Promise<void> = Promise.resolve();

  /** `adapter`: everything that is known of it and its driver. Without a store nothing is kept. */
  static async open(store: Store | undefined, adapter: string): Promise<KernelVerdicts> {
    const name = `gpu-kernels-${await hashOf(`${casesVersion} ${adapter}`)}`;
    const verdicts = new KernelVerdicts(store, name);
    await verdicts.#load().catch(() => {});
    return verdicts;
  }

  private constructor(store: Store | undefined, fileName: string) {
    this.#store = store;
    this.#fileName = fileName;
  }

  async of(kernel: KernelText): Promise<KernelVerdict | undefined> {
    return this.#kept.get(await hashOf(shaderText(kernel)));
  }

  async note(kernel: KernelText, problem: string | undefined): Promise<void> {
    const text = await hashOf(shaderText(kernel));
    this.#kept.set(text, { key: kernel.key, text, problem, checkedAtMs: Date.now() });
    this.#isChanged = true;
  }

  /** Undefined where nothing was measured lately. */
  get ways(): ProductWays | undefined {
    return this.#ways;
  }

  noteWays({ tiles, rows }: ProductWays): void {
    this.#ways = { tiles, rows, measuredAtMs: Date.now() };
    this.#isChanged = true;
  }

  /** Where it cannot be kept it is found out again. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#write()).catch(() => {});
    return this.#saving;
  }

  async #load(): Promise<void> {
    const file = await this.#store?.open(this.#fileName);
    if (!file) return;
    try {
      const bytes = new Uint8Array(file.byteLength);
      await file.readInto(0, bytes);
      const known: unknown = JSON.parse(new TextDecoder().decode(bytes));
      const least = Date.now() - longestMs;
      if (typeof known !== 'object' || known === null) return;
      const { verdicts, ways } = known as Record<string, unknown>;
      for (const verdict of Array.isArray(verdicts) ? verdicts : []) {
        if (isVerdict(verdict) && verdict.checkedAtMs > least) this.#kept.set(verdict.text, verdict);
      }
      if (areProductWays(ways) && (ways as KeptWays).measuredAtMs > least) this.#ways = ways as KeptWays;
    } finally {
      await file.close();
    }
  }

  async #write(): Promise<void> {
    if (!this.#store || !this.#isChanged) return;
    this.#isChanged = false;
    // What is left of an attempt may be longer.
    await this.#store.remove(this.#fileName);
    const draft = await this.#store.begin(this.#fileName);
    try {
      await draft.write(
        0,
        new TextEncoder().encode(JSON.stringify({ verdicts: [...this.#kept.values()], ways: this.#ways })),
      );
      await (await draft.finish()).close();
    } finally {
      await draft.end({ keep: false });
    }
  }
}

function isVerdict(value: unknown): value is KeptVerdict {
  if (typeof value !== 'object' || value === null) return false;
  const { key, text, checkedAtMs, problem } = value as Record<string, unknown>;
  if (typeof key !== 'string' || typeof text !== 'string' || typeof checkedAtMs !== 'number') return false;
  return problem === undefined || typeof problem === 'string';
}
