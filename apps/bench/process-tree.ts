/** Processes below this one, as far as the system tells (Linux). */
import { readdirSync, readFileSync } from 'node:fs';

/** Ids of the processes that descend from this one and still run. */
export function descendants(): number[] {
  const parents = new Map<number, number>();
  for (const name of listOf('/proc')) {
    const id = Number(name);
    const parent = statFields(id)?.[1];
    if (parent !== undefined) parents.set(id, parent);
  }
  const isBelow = (id: number): boolean => {
    const parent = parents.get(id);
    return parent !== undefined && (parent === process.pid || isBelow(parent));
  };
  return [...parents.keys()].filter(isBelow);
}

/** Clock ticks that a process and the children it has waited for have computed; 0 where it is gone. */
export function computedTicks(processId: number): number {
  return (statFields(processId) ?? []).slice(11, 15).reduce((sum, value) => sum + value, 0);
}

/** Numbers of `/proc/<id>/stat` from the state on, which is no number. */
function statFields(processId: number): number[] | undefined {
  if (!Number.isInteger(processId)) return undefined;
  const text = textOf(`/proc/${processId}/stat`).replace(/^.*\) /s, '');
  return text === '' ? undefined : text.split(' ').map(Number);
}

export function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function listOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
