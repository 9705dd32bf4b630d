/**
 * `@huggingface/jinja` as this room uses it. The package's declarations import each other without file extensions,
 * which TypeScript does not resolve for ES modules, so the shapes are stated here.
 */
import * as library from '@huggingface/jinja';

/** A node of the syntax tree. */
export interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A value of the template language; `value` is its JavaScript value (Map for mappings, function for callables). */
export interface TemplateValue {
  readonly type: string;
  readonly value: unknown;
  /** Methods and properties. */
  readonly builtins: ReadonlyMap<string, TemplateValue>;
}

export interface Scope {
  readonly variables: Map<string, TemplateValue>;
  readonly parent?: Scope | undefined;
  /** Converts a JavaScript value and declares it; fails where the name is taken. */
  set(name: string, value: unknown): TemplateValue;
}

interface InterpreterShape {
  /** Everything is evaluated through here; no node is the undefined value. */
  evaluate(node: Node | undefined, scope: Scope): TemplateValue;
  run(program: Node): TemplateValue;
}

export const Interpreter = library.Interpreter as unknown as new (scope: Scope) => InterpreterShape;
export const Environment = library.Environment as unknown as new () => Scope;

/** The syntax tree of a template, its white space treated as chat templates expect (blocks take their line). */
export function parseTemplate(source: string): Node {
  return new library.Template(source).parsed as unknown as Node;
}
