/**
 * The Jinja interpreter under a budget: every step is counted, and what could multiply the size of its operands in one
 * step (join, replace, indent, …) is estimated before it is done.
 *
 * It overrides the one public method that all evaluation goes through. Operands are evaluated here, measured, and handed
 * on as `Settled` nodes, which evaluate to the value they hold.
 */
import { Interpreter, type Node, type Scope, type TemplateValue } from './jinja-library.ts';
import { lengthOf, type Measured, type TemplateBudget } from './template-budget.ts';

/** A node that stands for a value already known. */
interface Settled extends Node {
  readonly type: 'Settled';
  readonly value: TemplateValue;
}

/** Filters that look at one element or none. */
const constantFilters = new Set([
  'length',
  'first',
  'last',
  'list',
  'safe',
  'default',
  'int',
  'float',
  'abs',
  'bool',
]);
/** Fields of nodes that hold blocks. */
const blockFields = new Set<unknown>(['body', 'alternate', 'defaultBlock']);
/** Longest text that `replace` may look for: it becomes a regular expression. */
const maxReplacedLength = 4096;
/** A character of text is at most `\uffff` in JSON. */
const jsonGrowth = 6;

export class BudgetInterpreter extends Interpreter {
  readonly #budget: TemplateBudget;
  /** Methods looked up on a value, to know it again when they are called. */
  readonly #receivers = new WeakMap<object, TemplateValue>();
  readonly #nodeCounts = new WeakMap<object, number>();
  /** Nodes whose value is printed. */
  readonly #statements = new WeakSet<object>();

  constructor(scope: Scope, budget: TemplateBudget, program: Node) {
    super(scope);
    this.#budget = budget;
    markStatements(program, this.#statements);
  }

  override evaluate(node: Node | undefined, scope: Scope): TemplateValue {
    if (node === undefined) return super.evaluate(node, scope);
    if (node.type === 'Settled') return (node as Settled).value;
    this.#budget.spend(1);
    this.#budget.enter();
    try {
      const value = this.#evaluateNode(node, scope);
      this.#budget.account(value);
      if (this.#statements.has(node)) this.#budget.spendOnPrint(value);
      return value;
    } finally {
      this.#budget.leave();
    }
  }

  #evaluateNode(node: Node, scope: Scope): TemplateValue {
    switch (node.type) {
      case 'Identifier':
        return this.#lookUp(String(node.value), scope);
      case 'BinaryExpression':
        return this.#binary(node, scope);
      case 'MemberExpression':
        return this.#member(node, scope);
      case 'CallExpression':
        return this.#pass(this.#settledCall(node, scope), scope);
      case 'CallStatement':
        this.#budget.spend(this.#countNodes(node));
        return this.#pass({ ...node, call: this.#settledCall(node.call as Node, scope) }, scope);
      case 'FilterExpression':
        return this.#filter(node, this.#settle(node.operand, scope), scope);
      case 'FilterStatement':
        // A block is what a program evaluates to.
        return this.#filter(node, this.#settle({ type: 'Program', body: node.body }, scope), scope);
      case 'For':
        return this.#loop(node, scope);
      case 'Macro':
        this.#budget.spend(this.#countNodes(node));
        return this.#pass(node, scope);
      case 'Break':
      case 'Continue':
        // Thrown as exceptions, which are dear.
        this.#budget.spend(20);
        return this.#pass(node, scope);
      default:
        return this.#pass(node, scope);
    }
  }

  #pass(node: Node, scope: Scope): TemplateValue {
    return super.evaluate(node, scope);
  }

  #settle(node: unknown, scope: Scope): Settled {
    return { type: 'Settled', value: this.evaluate(node as Node | undefined, scope) };
  }

  /** As the library looks up, but without an exception for every unknown name. */
  #lookUp(name: string, scope: Scope): TemplateValue {
    let at: Scope | undefined = scope;
    while (at !== undefined) {
      const value = at.variables.get(name);
      if (value !== undefined) return value;
      at = at.parent;
      this.#budget.spend(0.1);
    }
    return super.evaluate(undefined, scope);
  }

  #binary(node: Node, scope: Scope): TemplateValue {
    const operator = (node.operator as { value: string }).value;
    if (operator === 'and' || operator === 'or') return this.#pass(node, scope);
    const left = this.#settle(node.left, scope);
    const right = this.#settle(node.right, scope);
    for (const { value } of [left, right]) {
      // Comparing or concatenating a list with a text prints the list.
      const length = lengthOf(value);
      if (length > 0)
        this.#budget.spend(length + (operator === 'in' ? 0 : this.#budget.extent(value).size / 16));
    }
    return this.#pass({ ...node, left, right }, scope);
  }

  #member(node: Node, scope: Scope): TemplateValue {
    const object = this.#settle(node.object, scope);
    const property = node.property as Node;
    if (property.type === 'SliceExpression') {
      const text = object.value.value;
      this.#budget.spend(typeof text === 'string' ? text.length / 4 : lengthOf(object.value));
    }
    const value = this.#pass({ ...node, object }, scope);
    if (typeof value.value === 'function') this.#receivers.set(value, object.value);
    return value;
  }

  #settledCall(node: Node, scope: Scope): Node {
    const args = this.#settledArguments(node.args as readonly Node[], scope);
    const callee = this.#settle(node.callee, scope);
    const values = argumentValues(args);
    for (const value of values) this.#budget.spend(lengthOf(value));
    const receiver = this.#receivers.get(callee.value);
    if (typeof receiver?.value === 'string') {
      const text = receiver.value;
      const isMethod = (name: string): boolean => receiver.builtins.get(name) === callee.value;
      this.#budget.spendOnText(text.length);
      if (isMethod('replace')) this.#allowReplace(text, values);
      if (isMethod('split')) this.#budget.spend(partCount(text, values[0]?.value));
    } else if (receiver !== undefined) {
      this.#budget.spend(lengthOf(receiver));
    }
    return { ...node, callee, args };
  }

  #filter(node: Node, operand: Settled, scope: Scope): TemplateValue {
    const filter = node.filter as Node;
    const isCall = filter.type === 'CallExpression';
    const name = String(isCall ? (filter.callee as Node).value : filter.value);
    const args = isCall ? this.#settledArguments(filter.args as readonly Node[], scope) : [];
    if (!constantFilters.has(name)) this.#allowFilter(name, operand.value, argumentValues(args));
    return this.#pass(
      { type: 'FilterExpression', operand, filter: isCall ? { ...filter, args } : filter },
      scope,
    );
  }

  #allowFilter(name: string, operand: Measured, args: readonly Measured[]): void {
    const text = typeof operand.value === 'string' ? operand.value : undefined;
    const elements = text === undefined ? lengthOf(operand) : text.length;
    const { size, depth } = this.#budget.extent(operand);
    const longest = Math.max(0, ...args.map(({ value }) => (typeof value === 'string' ? value.length : 0)));
    const numbers = args.map(({ value }) => (typeof value === 'number' ? Math.abs(value) : 0));
    const largest = Math.max(4, ...numbers);
    // Attribute paths are taken apart for every element, in sorting for every comparison.
    const visits = elements * (name === 'sort' || name === 'dictsort' ? Math.log2(elements + 2) : 1);
    this.#budget.spendOnText(size);
    if (text === undefined) this.#budget.spend(visits * (1 + longest / 16));
    if (name === 'replace') this.#allowReplace(text ?? '', args);
    if (name === 'join') {
      if (text !== undefined) this.#budget.spend(text.length);
      this.#budget.allowSize(size * jsonGrowth + elements * longest);
    }
    if (name === 'indent') this.#budget.allowSize(size + partCount(text ?? '', '\n') * largest);
    if (name === 'tojson' || name === 'string') {
      const padding = args.length > 0 ? (depth + 1) * largest : 0;
      const separators = args
        .map((value) => this.#budget.extent(value).size)
        .reduce((sum, part) => sum + part, 0);
      this.#budget.allowSize(size * jsonGrowth);
      this.#budget.allowSize(size * (padding + separators));
    }
  }

  #allowReplace(text: string, args: readonly Measured[]): void {
    const [searched, replacement] = args;
    if (typeof searched?.value !== 'string' || typeof replacement?.value !== 'string') return;
    const occurrences = searched.value === '' ? text.length + 1 : partCount(text, searched.value);
    this.#budget.spend(occurrences);
    if (searched.value.length > maxReplacedLength) this.#budget.allowSize(Number.POSITIVE_INFINITY);
    this.#budget.allowSize(text.length + occurrences * replacement.value.length);
  }

  #loop(node: Node, scope: Scope): TemplateValue {
    const iterable = node.iterable as Node;
    const filtered = iterable.type === 'SelectExpression';
    const settled = this.#settle(filtered ? iterable.lhs : iterable, scope);
    this.#budget.spend(lengthOf(settled.value) * 4);
    return this.#pass({ ...node, iterable: filtered ? { ...iterable, lhs: settled } : settled }, scope);
  }

  /** Some filters insist on literals, which cost nothing; they stay what they are. */
  #settledArguments(args: readonly Node[], scope: Scope): Node[] {
    return args.map((argument) => {
      if (argument.type === 'KeywordArgumentExpression') {
        return { ...argument, value: this.#settle(argument.value, scope) };
      }
      if (argument.type === 'SpreadExpression' || argument.type === 'KeywordSpreadExpression') {
        return { ...argument, argument: this.#settle(argument.argument, scope) };
      }
      return argument.type === 'StringLiteral' ? argument : this.#settle(argument, scope);
    });
  }

  /** Of a macro's tree, which the library walks whenever the macro is defined. */
  #countNodes(node: object): number {
    const known = this.#nodeCounts.get(node);
    if (known !== undefined) return known;
    let count = 1;
    const parts = node instanceof Map ? [...node.entries()].flat() : Object.values(node);
    for (const part of parts) if (typeof part === 'object' && part !== null) count += this.#countNodes(part);
    this.#nodeCounts.set(node, count);
    return count;
  }
}

/** The values of settled arguments; of lists and mappings that are spread out, also what they hold. */
function argumentValues(args: readonly Node[]): Measured[] {
  return args.flatMap((argument): Measured[] => {
    if (argument.type === 'StringLiteral') return [{ type: 'StringValue', value: argument.value }];
    if (argument.type === 'Settled') return [(argument as Settled).value];
    if (argument.type === 'KeywordArgumentExpression') return [(argument.value as Settled).value];
    const spread = (argument.argument as Settled).value;
    if (!Array.isArray(spread.value) && !(spread.value instanceof Map)) return [spread];
    return [spread, ...(spread.value.values() as Iterable<Measured>)];
  });
}

/** Adds the members of every block below a node: what they evaluate to is printed. */
function markStatements(node: object, statements: WeakSet<object>): void {
  const parts = node instanceof Map ? [...node.entries()].flat() : Object.entries(node).flat();
  for (const [index, part] of parts.entries()) {
    if (typeof part !== 'object' || part === null) continue;
    if (Array.isArray(part) && blockFields.has(parts[index - 1]))
      for (const item of part) statements.add(item);
    markStatements(part, statements);
  }
}

/** Into how many parts a separator cuts a text; without one (white space), the most there can be. */
function partCount(text: string, separator: unknown): number {
  if (typeof separator !== 'string' || separator === '') return text.length / 2 + 1;
  let count = 1;
  for (let at = text.indexOf(separator); at >= 0; at = text.indexOf(separator, at + separator.length))
    count += 1;
  return count;
}
