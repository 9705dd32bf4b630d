/** Reads option values; what cannot be read is a usage error that says what was expected. */
import { InvalidArgumentError } from 'commander';

interface NumberRange {
  readonly least?: number;
  readonly most?: number;
}

/** A parser of whole numbers from `least` to `most`. */
export function wholeNumber({
  least = 0,
  most = Number.MAX_SAFE_INTEGER,
}: NumberRange = {}): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It takes a whole number ${rangeText(least, most)}.`);
  };
}

/** A parser of finite numbers from `least` to `most`. */
export function realNumber(range: NumberRange = {}): (text: string) => number {
  const { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY } = range;
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (Number.isFinite(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It takes a number ${rangeText(least, most)}.`);
  };
}

function rangeText(least: number, most: number): string {
  const isOpen = most === Number.POSITIVE_INFINITY || most === Number.MAX_SAFE_INTEGER;
  if (isOpen) return Number.isFinite(least) ? `of at least ${least}` : 'that is finite';
  return `from ${least} to ${most}`;
}

/** Whole numbers with commas between, at least one. */
export function wholeNumbers(range: NumberRange = {}): (text: string) => readonly number[] {
  const one = wholeNumber(range);
  return (text) => text.split(',').map((part) => one(part.trim()));
}

const unitFactors: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  kb: 1e3,
  kib: 2 ** 10,
  m: 2 ** 20,
  mb: 1e6,
  mib: 2 ** 20,
  g: 2 ** 30,
  gb: 1e9,
  gib: 2 ** 30,
  t: 2 ** 40,
  tb: 1e12,
  tib: 2 ** 40,
};

/** `2147483648`, `2GiB`, `1.5 GB`, `512m`: powers of 1024 but for kB, MB, GB, TB. */
export function byteCount(text: string): number {
  const [, digits = '', unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const factor = unitFactors[unit.toLowerCase()];
  const value = Math.floor(Number(digits) * (factor ?? Number.NaN));
  if (digits !== '' && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('It takes a number of bytes, also with a unit: 2GiB, 800MB.');
}

/** One more `ID=BIAS`; a bias of `-inf` bans the id. */
export function addLogitBias(
  text: string,
  before: ReadonlyMap<number, number> | undefined,
): Map<number, number> {
  const [, id = '', bias = ''] = /^\s*(\d+)\s*=\s*(\S+)\s*$/.exec(text) ?? [];
  const value = /^-inf(inity)?$/i.test(bias) ? Number.NEGATIVE_INFINITY : Number(bias || 'none');
  if (Number.isNaN(value) || value === Number.POSITIVE_INFINITY) {
    throw new InvalidArgumentError('It takes ID=BIAS, for example 13=-inf or 42=1.5.');
  }
  return new Map(before).set(Number(id), value);
}

/** One more text of a list. */
export function addText(text: string, before: readonly string[] | undefined): string[] {
  if (text === '') throw new InvalidArgumentError('It takes a text that is not empty.');
  return [...(before ?? []), text];
}
