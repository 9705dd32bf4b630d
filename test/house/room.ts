/** Rooms and their ranks: imports go downhill only and through doors, and never in a circle. */
import { importsOf, resolveImport } from './imports.ts';
import { isSource, type SourceTree } from './tree.ts';

/** The architecture's order. A module may import rooms of a lower rank. */
export const roomRanks: ReadonlyMap<string, number> = new Map([
  ['base', 0],
  ['format', 1],
  ['tensor', 2],
  ['store', 2],
  ['checkpoint', 3],
  ['graph', 3],
  ['tokenizer', 4],
  ['architecture', 4],
  ['plan', 4],
  ['backend', 5],
  ['weights', 6],
  ['kv-cache', 6],
  ['executor', 7],
  ['decoder', 8],
  ['quantize', 8],
  ['engine', 9],
  ['index', 10],
  ['apps', 11],
]);

/** `src/x.ts` and `src/x/…` are room x, src/index.ts is `index`, all of apps/ is `apps`. */
export function roomOf(path: string): string {
  if (path.startsWith('apps/')) return 'apps';
  return (path.split('/')[1] ?? '').replace(/\.ts$/, '');
}

const isDoor = (path: string): boolean => /^src\/[^/]+\.ts$/.test(path);

function importViolation(from: string, to: string, typeOnly: boolean): string | undefined {
  const [fromRoom, toRoom] = [roomOf(from), roomOf(to)];
  if (!/^(src|apps)\//.test(to) || to.includes('/fixture/'))
    return `${from} imports ${to}, which is not part of the engine`;
  if (fromRoom === toRoom) {
    const ownDoor = isDoor(to) && !isDoor(from) && !typeOnly;
    return ownDoor ? `${from} imports values from its own door; only types may come from there` : undefined;
  }
  const [fromRank, toRank] = [roomRanks.get(fromRoom), roomRanks.get(toRoom)];
  if (fromRank === undefined || toRank === undefined) return undefined;
  if (toRank >= fromRank) return `${from} (rank ${fromRank}) imports ${to} (rank ${toRank}): not downhill`;
  if (toRoom !== 'base' && !isDoor(to)) return `${from} imports ${to}, past the door src/${toRoom}.ts`;
  return undefined;
}

/** Imports that go uphill, sideways or past a door, rooms without a rank and folders without a door. */
export function roomViolations(tree: SourceTree): string[] {
  const violations = new Set<string>();
  for (const [path, text] of tree) {
    if (!isSource(path)) continue;
    const room = roomOf(path);
    if (!roomRanks.has(room)) violations.add(`${path}: room ${room} has no rank in test/house/room.ts`);
    if (path.startsWith('src/') && !isDoor(path) && room !== 'base' && !tree.has(`src/${room}.ts`)) {
      violations.add(`src/${room}/ has no door src/${room}.ts`);
    }
    for (const { specifier, typeOnly } of importsOf(text)) {
      const target = resolveImport(path, specifier);
      const violation = target === undefined ? undefined : importViolation(path, target, typeOnly);
      if (violation) violations.add(violation);
      if (specifier.startsWith('node:') && path.startsWith('src/') && !typeOnly) {
        violations.add(`${path} imports ${specifier}; ask src/base/platform.ts for built-in modules`);
      }
    }
  }
  return [...violations];
}

/** Circles among run-time imports, each as one line of paths. */
export function importCycles(tree: SourceTree): string[] {
  const edges = new Map<string, string[]>();
  for (const [path, text] of tree) {
    if (!isSource(path)) continue;
    const targets = importsOf(text).filter((entry) => !entry.typeOnly);
    edges.set(
      path,
      targets.map((entry) => resolveImport(path, entry.specifier) ?? '').filter((to) => tree.has(to)),
    );
  }
  const cycles: string[] = [];
  const finished = new Set<string>();
  const visit = (path: string, trail: string[]): void => {
    const seenAt = trail.indexOf(path);
    if (seenAt >= 0) {
      cycles.push([...trail.slice(seenAt), path].join(' -> '));
      return;
    }
    if (finished.has(path)) return;
    for (const target of edges.get(path) ?? []) visit(target, [...trail, path]);
    finished.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return cycles;
}
