/** Replaces a generated part of a document, between `<!-- name:begin -->` and `<!-- name:end -->`. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Where the document has no such part it is added at the end. */
export function writeMarkedSection(path: string, name: string, content: string): void {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '# Benchmarks\n';
  const section = `${begin}\n\n${content.trim()}\n\n${end}`;
  const [first, last] = [text.indexOf(begin), text.indexOf(end)];
  const whole =
    first >= 0 && last > first
      ? text.slice(0, first) + section + text.slice(last + end.length)
      : `${text.trimEnd()}\n\n${section}\n`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, whole);
}
