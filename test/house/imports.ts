/** Reads the import statements of a module by pattern; good enough for code that the formatter has laid out. */
import { withoutComments } from './tree.ts';

export interface Import {
  readonly specifier: string;
  /** True where nothing is imported at run time: `import type`, `export type`, `typeof import()`. */
  readonly typeOnly: boolean;
}

const statement = /^\s*(?:import|export)\s+(type\s+)?(?:[\w*${}\s,]*?\bfrom\s*)?(['"])([^'"\n]+)\2/gm;
const call = /(typeof\s+)?\bimport\(\s*(['"])([^'"\n]+)\2/g;

export function importsOf(text: string): Import[] {
  const code = withoutComments(text);
  return [...code.matchAll(statement), ...code.matchAll(call)].map((match) => ({
    specifier: match[3] ?? '',
    typeOnly: match[1] !== undefined,
  }));
}

/** The path a relative specifier means, or undefined for a package. */
export function resolveImport(fromPath: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined;
  const parts = fromPath.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}
