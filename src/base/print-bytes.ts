/** A number of bytes for people: `1.5 MiB`. */
const units = ['KiB', 'MiB', 'GiB', 'TiB'] as const;

/** Below 1 KiB in bytes; above with one decimal in the largest unit that leaves at least 1. */
export function printBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return 'unlimited';
  let size = bytes;
  let unit = 'bytes';
  for (const larger of units) {
    if (Math.abs(size) < 1024) break;
    size /= 1024;
    unit = larger;
  }
  return unit === 'bytes' ? `${size} bytes` : `${size.toFixed(1)} ${unit}`;
}
