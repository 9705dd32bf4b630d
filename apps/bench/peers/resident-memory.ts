/** Peak resident memory of this process, or of the browser below it. */
import { descendants, textOf } from '../process-tree.ts';

/** Bytes at most so far; 0 where the system does not say. */
export function peakResidentOf(processId: number | 'self'): number {
  const match = /^VmHWM:\s*(\d+) kB/m.exec(textOf(`/proc/${processId}/status`));
  return match ? Number(match[1]) * 1024 : 0;
}

/** The page's process: of the renderers that descend from this process, the one that held most. */
export function peakRendererBytes(): number {
  const isRenderer = (id: number): boolean => textOf(`/proc/${id}/cmdline`).includes('--type=renderer');
  return Math.max(0, ...descendants().filter(isRenderer).map(peakResidentOf));
}
