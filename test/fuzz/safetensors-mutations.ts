/**
 * Child of safetensors.test.ts: `node safetensors-mutations.ts COUNT SEED` opens a folder that many times with one of its
 * files damaged, and prints how often each outcome came, as JSON. Anything but a NearfieldError ends it with status 1.
 */
import { NearfieldError } from '../../src/base/error.ts';
import { memorySource } from '../../src/checkpoint/memory-source.ts';
import { openCheckpoint } from '../../src/checkpoint.ts';
import { openTokenizer } from '../../src/tokenizer.ts';
import { savedFamily } from '../fixture/saved-families.ts';
import { tinyModelBytes } from '../fixture/tiny-model.ts';
import { type FolderFiles, transformersFolder } from '../fixture/transformers-folder.ts';
import { openFully } from './open-fully.ts';
import { randomIntegers } from './random-integers.ts';

const [count = 1000, seed = 1] = process.argv.slice(2).map(Number);
const random = randomIntegers(seed);

async function folder(name: 'llama, llama3 rope' | 'llama, yarn rope', parts: number): Promise<FolderFiles> {
  const checkpoint = await openCheckpoint(
    await tinyModelBytes(name, { shape: { ...smallest, ...tokenizers[name] } }),
  );
  const family = savedFamily(checkpoint.tensors, 'llama');
  if (!family) throw new Error('No family llama');
  return transformersFolder(checkpoint, family, { parts });
}

const smallest = {
  ...{ architecture: 'llama', layers: 1, hidden: 8, feedForward: 8, heads: 2, keyValueHeads: 1 },
  ...{ vocabulary: 270, context: 32 },
};
const tokenizers = {
  'llama, llama3 rope': { tokenizer: 'bpe' },
  'llama, yarn rope': { tokenizer: 'spm' },
} as const;

const bases = [await folder('llama, llama3 rope', 1), await folder('llama, yarn rope', 2)];

type Json = { [name: string]: Json } | Json[] | string | number | boolean | null;

const strangeNumbers = [0, 1, -1, 2, 0.5, 255, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 1e308, -(2 ** 31)];
const strangeTexts = [
  '',
  'F64',
  '__proto__',
  '../x',
  'a\nb',
  '\ud800',
  'x'.repeat(10_000),
  'model.layers.99999.x',
];

function strange(old: Json): Json {
  const kind = random(8);
  if (typeof old === 'number' && kind < 5) {
    const other = strangeNumbers[random(strangeNumbers.length)] ?? 0;
    return random(2) === 0 ? other : old + ([1, -1, old, 0.25][random(4)] ?? 1);
  }
  if (kind < 3) return strangeNumbers[random(strangeNumbers.length)] ?? 0;
  if (kind < 5) return strangeTexts[random(strangeTexts.length)] ?? '';
  return [null, true, [], {}, [old, old], { a: old }][random(6)] ?? null;
}

/** Goes down at random and changes, removes or adds something there. */
function damage(value: Json): Json {
  const isList = Array.isArray(value);
  const keys = isList || (typeof value === 'object' && value !== null) ? Object.keys(value) : [];
  const key = keys[random(keys.length)];
  if (key === undefined || random(12) === 0) return strange(value);
  const inside = value as { [name: string]: Json };
  const way = random(32);
  if (way < 2 && !isList) delete inside[key];
  else if (way < 4 && !isList) inside[strangeTexts[random(strangeTexts.length)] ?? ''] = inside[key] ?? null;
  else inside[key] = damage(inside[key] ?? null);
  return value;
}

function damageBytes(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const way = random(3);
  if (way === 0) return bytes.slice(0, random(bytes.length));
  const near = random(2) === 0 ? Math.min(16, bytes.length) : bytes.length;
  for (let left = 1 + random(6); left > 0; left--) {
    const at = random(near);
    bytes[at] = way === 1 ? (bytes[at] ?? 0) ^ (1 << random(8)) : random(256);
  }
  return bytes;
}

const utf8 = (value: Json): Uint8Array<ArrayBuffer> => new TextEncoder().encode(JSON.stringify(value));

/** The header of a file of weights, or the whole of a file of JSON. */
function damageJson(name: string, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const text = new TextDecoder();
  if (!name.endsWith('.safetensors')) return utf8(damage(JSON.parse(text.decode(bytes))));
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = utf8(damage(JSON.parse(text.decode(bytes.subarray(8, 8 + headerBytes)))));
  const data = bytes.subarray(8 + headerBytes);
  const whole = new Uint8Array(8 + header.length + data.length);
  new DataView(whole.buffer).setBigUint64(0, BigInt(header.length), true);
  whole.set(header, 8);
  whole.set(data, 8 + header.length);
  return whole;
}

const outcomes: Record<string, number> = {};
for (let turn = 0; turn < count; turn++) {
  const base = bases[turn % bases.length] ?? new Map();
  const names = [...base.keys()];
  const name = names[random(names.length)] ?? '';
  const bytes = base.get(name)?.slice() ?? new Uint8Array(0);
  const damaged = random(3) === 0 ? damageBytes(bytes) : damageJson(name, bytes);
  const files = names.map((own) =>
    memorySource(own === name ? damaged : (base.get(own) ?? new Uint8Array(0)), own),
  );
  try {
    const outcome = await openFully(files);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    if (outcome !== 'opened') continue;
    const checkpoint = await openCheckpoint(files);
    await checkpoint.close();
    openTokenizer(checkpoint.metadata);
  } catch (cause) {
    if (cause instanceof NearfieldError && cause.code !== 'internal' && !cause.message.includes('\n'))
      continue;
    throw new Error(`Turn ${turn} (${name}) of seed ${seed}`, { cause });
  }
}
process.stdout.write(`${JSON.stringify(outcomes)}\n`);
