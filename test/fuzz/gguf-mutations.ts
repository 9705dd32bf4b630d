/**
 * Child of gguf.test.ts: `node gguf-mutations.ts COUNT SEED` opens that many mutated files and prints how often each
 * outcome came, as JSON. Anything but a NearfieldError, or an array far larger than the file, ends it with status 1.
 */
import { openFully } from './open-fully.ts';
import { randomIntegers } from './random-integers.ts';
import { overwrite, type RecordedFile, recordedGguf } from './recorded-gguf.ts';

const [count = 1000, seed = 1] = process.argv.slice(2).map(Number);

const random = randomIntegers(seed);
const part = (number: number) => recordedGguf({ version: 3, split: [number, 3], prefix: `${number}.` });
const parts = [part(0), part(1), part(2)] as const;
const bases: readonly RecordedFile[] = [
  recordedGguf({ version: 3 }),
  recordedGguf({ version: 2, alignment: 8 }),
  ...parts,
];

type Mutation = (bytes: Uint8Array<ArrayBuffer>, base: RecordedFile) => Uint8Array<ArrayBuffer>;

const interesting = [0, 1, 2, 7, 31, 32, 33, 53, 62, 63].map((bit) => 1n << BigInt(bit));

const mutations: readonly Mutation[] = [
  function flipBits(bytes) {
    for (let left = 1 + random(6); left > 0; left--) {
      const at = random(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
    }
    return bytes;
  },
  function overwriteBytes(bytes) {
    const at = random(bytes.length);
    return bytes.fill([0, 1, 0x7f, 0x80, 0xff][random(5)] ?? 0, at, at + 1 + random(12));
  },
  function truncate(bytes) {
    return bytes.slice(0, random(bytes.length));
  },
  function editFields(bytes, { fields }) {
    for (let left = 1 + random(3); left > 0; left--) {
      const field = fields[random(fields.length)];
      const step = (interesting[random(interesting.length)] ?? 1n) - BigInt(random(3));
      if (field) overwrite(bytes, field, random(2) === 0 ? step : field.value + step);
    }
    return bytes;
  },
  function insert(bytes) {
    const at = random(bytes.length);
    return joined(
      bytes.subarray(0, at),
      new Uint8Array(1 + random(40)).fill(random(256)),
      bytes.subarray(at),
    );
  },
  function remove(bytes) {
    const at = random(bytes.length);
    return joined(bytes.subarray(0, at), bytes.subarray(at + 1 + random(40)));
  },
  function splice(bytes) {
    const other = bases[random(bases.length)]?.bytes ?? bytes;
    return joined(bytes.subarray(0, random(bytes.length)), other.subarray(random(other.length)));
  },
  function copyWithin(bytes) {
    const from = random(bytes.length);
    return bytes.copyWithin(random(bytes.length), from, from + 1 + random(64));
  },
];

function joined(...pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Largest array made since it was last set to 0. */
let largestLength = 0;

/** Constructors of arrays note the length they are asked for. */
function watchArrays(): void {
  for (const name of ['Array', 'ArrayBuffer', 'Uint8Array', 'Uint32Array'] as const) {
    const watched = new Proxy(globalThis[name] as unknown as new (...all: unknown[]) => object, {
      construct(target, all, newTarget) {
        if (all.length === 1 && typeof all[0] === 'number') largestLength = Math.max(largestLength, all[0]);
        return Reflect.construct(target, all, newTarget);
      },
    });
    Object.assign(globalThis, { [name]: watched });
  }
}

watchArrays();
const outcomes: Record<string, number> = {};
for (let index = 0; index < count; index++) {
  const base = bases[index % bases.length] ?? parts[0];
  const mutation = mutations[random(mutations.length)] ?? ((bytes) => bytes);
  const damaged = mutation(base.bytes.slice(), base);
  const others = parts.filter((other) => other !== base).map(({ bytes }) => bytes);
  const files = others.length < parts.length ? [damaged, ...others] : [damaged];
  largestLength = 0;
  try {
    const outcome = await openFully(files);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  } catch (cause) {
    throw new Error(`Mutation ${index} (${mutation.name}) of seed ${seed}`, { cause });
  }
  if (largestLength > 2 * base.bytes.length + 1024) {
    throw new Error(`Mutation ${index} (${mutation.name}) of seed ${seed} made an array of ${largestLength}`);
  }
}
process.stdout.write(`${JSON.stringify(outcomes)}\n`);
