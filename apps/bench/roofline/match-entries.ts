/** Which entries of a tape belong to which kernels of the segment it was made from. */
import type { TimedEntry } from './tape-clock.ts';

/**
 * One time per kernel, in order, and the rest. A tape has an entry per kernel and may have entries of one more operation
 * between them (tables that several kernels share); which one is found by trying: without it, kernels of one pattern all
 * have the same operation.
 */
export function matchEntries(
  entries: readonly TimedEntry[],
  patterns: readonly string[],
): { readonly kernelMs: readonly number[]; readonly otherMs: number } {
  const extra = entries.length - patterns.length;
  const operations = [...new Set(entries.map(({ operation }) => operation))];
  const candidates = extra === 0 ? [undefined] : operations;
  for (const candidate of candidates) {
    const kept = entries.filter(({ operation }) => operation !== candidate);
    if (kept.length !== patterns.length || !isConsistent(kept, patterns)) continue;
    const kernelMs = kept.map(({ milliseconds }) => milliseconds);
    const all = entries.reduce((total, { milliseconds }) => total + milliseconds, 0);
    return { kernelMs, otherMs: all - kernelMs.reduce((total, value) => total + value, 0) };
  }
  throw new Error(`${entries.length} tape entries do not fit ${patterns.length} kernels`);
}

function isConsistent(entries: readonly TimedEntry[], patterns: readonly string[]): boolean {
  const operationOf = new Map<string, number>();
  return entries.every(({ operation }, index) => {
    const pattern = patterns[index] ?? '';
    const known = operationOf.get(pattern) ?? operation;
    operationOf.set(pattern, known);
    return known === operation;
  });
}
