/** Numbers for people. */

const byteUnits = ['kB', 'MB', 'GB', 'TB'] as const;

/** In decimal units, as browsers show downloads. */
export function sayBytes(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} bytes`;
  let size = bytes;
  let unit = '';
  for (const larger of byteUnits) {
    if (size < 999.5) break;
    size /= 1000;
    unit = larger;
  }
  return `${size < 9.95 ? size.toFixed(1) : Math.round(size)} ${unit}`;
}

export function sayRate(tokensPerSecond: number): string {
  const digits = tokensPerSecond < 9.95 ? 1 : 0;
  return `${tokensPerSecond.toFixed(digits)} tokens/s`;
}

/** With two digits, for what is only known about. */
export function sayRoughRate(tokensPerSecond: number): string {
  return `${Number(tokensPerSecond.toPrecision(2)).toLocaleString('en')} tokens/s`;
}

/** Of parameters: `4.2 M`. */
export function sayCount(count: number): string {
  for (const [size, unit] of [
    [1e9, ' B'],
    [1e6, ' M'],
    [1e3, ' k'],
  ] as const) {
    if (count >= size) return `${(count / size).toFixed(1)}${unit}`;
  }
  return String(count);
}

/** Rough, so that it does not flicker. */
export function sayTimeLeft(seconds: number): string {
  if (seconds < 5) return 'a few seconds left';
  if (seconds < 55) return `about ${Math.ceil(seconds / 5) * 5} s left`;
  if (seconds < 90) return 'about a minute left';
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} minutes left`;
  return `about ${(seconds / 3600).toFixed(1)} hours left`;
}

/** The last part of a path or an address. */
export function fileNameOf(source: string): string {
  const path = source.split(/[?#]/)[0] ?? source;
  return path.split(/[/\\]/).filter(Boolean).at(-1) ?? source;
}
