/** Sizes, names and words: what a file may be called, how long it may be, and what may not stand in it. */
import { isSource, type SourceTree, withoutComments } from './tree.ts';

const lookAgainLines = 300;
const wallLines = 500;
const vagueWords = new Set([
  'util',
  'utils',
  'helper',
  'helpers',
  'common',
  'types',
  'misc',
  'manager',
  'managers',
]);

const isCode = (path: string): boolean =>
  /\.(ts|js|mjs)$/.test(path) && /^(src|apps|test|scripts|bin)\//.test(path);
const lineCount = (text: string): number => text.split('\n').length - (text.endsWith('\n') ? 1 : 0);

/** Files past the wall whose first line gives no reason: a comment with `long: <why>` or `data table`. */
export function sizeViolations(tree: SourceTree): string[] {
  return [...tree].flatMap(([path, text]) => {
    if (!isCode(path) || lineCount(text) <= wallLines) return [];
    const firstLine = text.split('\n', 1)[0] ?? '';
    const reasoned = /^(\/\/|\/\*)/.test(firstLine) && /long: \S|data table/i.test(firstLine);
    return reasoned ? [] : [`${path} has ${lineCount(text)} lines; say why in line 1 (long: …) or split it`];
  });
}

/** Files worth a second look; no violation. */
export function largeFiles(tree: SourceTree): string[] {
  return [...tree].flatMap(([path, text]) =>
    isCode(path) && lineCount(text) > lookAgainLines ? [`${path}: ${lineCount(text)} lines`] : [],
  );
}

/** File and folder names that say nothing. */
export function nameViolations(tree: SourceTree): string[] {
  return [...tree.keys()].flatMap((path) => {
    if (!isCode(path)) return [];
    const words = path.replace(/([a-z])([A-Z])/g, '$1-$2').split(/[/.\-_]/);
    const vague = words.find((word) => vagueWords.has(word.toLowerCase()));
    return vague === undefined ? [] : [`${path}: "${vague}" names no idea`];
  });
}

/** Where one machine or one workplace shows. */
const machineTraces: readonly [RegExp, string][] = [
  [/(?<![\w./:-])\/(home|Users)\/\w/, 'a home folder'],
  [/(?<![\w./:-])\/(root|work|mnt)\/\w/, 'a path of one machine'],
  [/\b[A-Z]:\\\\?Users\\/, 'a home folder'],
  [/"resolved":\s*"https?:/, 'the address of a package registry'],
  [/\w\.pkg\.dev\b|_authToken|\bregistry\s*=\s*http/, 'a package registry'],
];

/** Paths of one machine and registry hosts, in any text file. */
export function traceViolations(tree: SourceTree): string[] {
  return [...tree].flatMap(([path, text]) =>
    path.startsWith('test/house/') ? [] : findings(path, text, machineTraces),
  );
}

const hostQuestions: readonly [RegExp, string][] = [
  [
    /\btypeof (window|document|process|self|Deno|Bun|importScripts)\b/,
    'asks for the host; that is platform.ts',
  ],
  [/\bprocess\.\w|\bnavigator\.userAgent\b/, 'asks for the host; that is platform.ts'],
];
const codeWords: readonly [RegExp, string][] = [
  [/^(export )?(let|var) /m, 'keeps module-level mutable state'],
  [/\b(class|interface|function) \w*(Manager|Helper|Utils?)\b/, 'has a name that names no idea'],
  [/^\s*(export )?(declare )?(const )?enum /m, 'declares an enum'],
  [/^\s*(export )?namespace \w/m, 'declares a namespace'],
  [/^export default\b/m, 'has a default export'],
];

/** Words that the engine's code does without. */
export function wordViolations(tree: SourceTree): string[] {
  return [...tree].flatMap(([path, text]) => {
    if (!isSource(path)) return [];
    const asksHost = path.startsWith('src/') && path !== 'src/base/platform.ts';
    return findings(path, withoutComments(text), asksHost ? [...codeWords, ...hostQuestions] : codeWords);
  });
}

function findings(path: string, text: string, patterns: readonly [RegExp, string][]): string[] {
  return patterns.flatMap(([pattern, what]) => {
    const index = text.search(pattern);
    if (index < 0) return [];
    const start = text.lastIndexOf('\n', index + 1) + 1;
    const line = text.slice(0, Math.max(start, index)).split('\n').length;
    return [`${path}:${line} ${what}`];
  });
}
