/** Which layers see the last rows only: in turns with layers that see all, as the file or the family says. */
import type { DecoderConfiguration } from './configuration.ts';

/** Of `period` layers in a row the last sees everything; with 0 none does. A file's own pattern goes before. */
export function isLocal({ slidingPattern }: DecoderConfiguration, layer: number, period: number): boolean {
  const pattern = slidingPattern ?? period;
  if (typeof pattern !== 'number') return pattern[layer] === true;
  return pattern === 0 || layer % pattern < pattern - 1;
}

/** A family's `window`: in local layers that of the file, or `fallback` where it states none. */
export function localWindow(period: number, fallback?: number) {
  return (configuration: DecoderConfiguration, layer: number): number | undefined =>
    isLocal(configuration, layer, period) ? (configuration.slidingWindow ?? fallback) : undefined;
}
