/** The sixteen levels of the IQ4 formats: denser near zero, as weights are; part of the file format. */
export const iq4Levels: Int8Array = Int8Array.of(
  -127,
  -104,
  -83,
  -65,
  -49,
  -35,
  -22,
  -10,
  1,
  13,
  25,
  38,
  53,
  69,
  89,
  113,
);

/** Code of the level nearest to `value`; halfway, the lower. */
export function nearestIq4Code(value: number): number {
  let code = 0;
  while (code < 15 && 2 * value > (iq4Levels[code] ?? 0) + (iq4Levels[code + 1] ?? 0)) code++;
  return code;
}
