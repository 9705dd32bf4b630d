/**
 * Sizes that are known only up to bounded symbols: polynomials with integer coefficients over symbols, ceilings of
 * quotients and maxima, kept in a normal form so that equal sizes print and compare equal.
 */
import { NearfieldError } from '../base/error.ts';

/** A size that varies from step to step between fixed bounds (both inclusive, whole, not negative). */
export interface DimSymbol {
  readonly name: string;
  /** Place of its value in the array given to `evaluate`. */
  readonly index: number;
  readonly min: number;
  readonly max: number;
}

/** A factor that is not a plain number. */
type Atom =
  | { readonly kind: 'symbol'; readonly key: string; readonly symbol: DimSymbol }
  | {
      readonly kind: 'ceiling';
      readonly key: string;
      readonly numerator: DimExpression;
      readonly divisor: number;
    }
  | {
      readonly kind: 'maximum';
      readonly key: string;
      /** Two or more, sorted by their text; none is provably at least as large as another. */
      readonly operands: readonly DimExpression[];
    };

interface Term {
  readonly coefficient: number;
  /** Sorted by key; a power repeats its atom. */
  readonly atoms: readonly Atom[];
  /** Of all atoms; '' of a constant. */
  readonly key: string;
}

export type Dim = number | DimExpression;

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

function termOf(coefficient: number, atoms: readonly Atom[]): Term {
  const [first] = atoms;
  const key =
    first === undefined ? '' : atoms.length === 1 ? first.key : atoms.map((atom) => atom.key).join('·');
  return { coefficient, atoms, key };
}

/** Immutable; made by the functions below. */
export class DimExpression {
  /** Sorted by key of their atoms; no zero coefficients; at most one term without atoms. */
  readonly terms: readonly Term[];
  #bounds: Bounds | undefined;

  constructor(terms: readonly Term[]) {
    this.terms = terms;
  }

  /** Value for the given symbol values; allocates nothing. */
  evaluate(values: ArrayLike<number>): number {
    let sum = 0;
    // Without iterators, which are garbage until this is compiled.
    for (let place = 0; place < this.terms.length; place++) {
      const { coefficient, atoms } = this.terms[place] as Term;
      let product = coefficient;
      for (let factor = 0; factor < atoms.length; factor++)
        product *= evaluateAtom(atoms[factor] as Atom, values);
      sum += product;
    }
    return sum;
  }

  /** An interval that holds every value the symbols' bounds allow (interval arithmetic: safe, not always tight). */
  bounds(): Bounds {
    this.#bounds ??= boundsOf(this.terms);
    return this.#bounds;
  }

  toString(): string {
    if (this.terms.length === 0) return '0';
    return this.terms
      .map(({ coefficient, key }, place) => {
        const size = Math.abs(coefficient);
        const body = key === '' ? `${size}` : `${size === 1 ? '' : `${size}·`}${key}`;
        const sign = coefficient < 0 ? '-' : place === 0 ? '' : '+';
        return place === 0 ? sign + body : ` ${sign} ${body}`;
      })
      .join('');
  }
}

function evaluateAtom(atom: Atom, values: ArrayLike<number>): number {
  switch (atom.kind) {
    case 'symbol': {
      const value = values[atom.symbol.index];
      if (value === undefined)
        throw new NearfieldError('internal', `No value for the symbol ${atom.symbol.name}`);
      return value;
    }
    case 'ceiling':
      return Math.ceil(atom.numerator.evaluate(values) / atom.divisor);
    case 'maximum': {
      let largest = evaluateDim(atom.operands[0] ?? 0, values);
      for (let place = 1; place < atom.operands.length; place++) {
        const value = evaluateDim(atom.operands[place] ?? 0, values);
        if (value > largest) largest = value;
      }
      return largest;
    }
  }
}

/** Sums equal products, drops zeros, sorts: the normal form. A constant comes back as a number. */
function normalize(terms: readonly Term[]): Dim {
  const sums: Term[] = [];
  for (const term of terms) {
    const place = sums.findIndex(({ key }) => key === term.key);
    const before = sums[place];
    if (before) sums[place] = { ...term, coefficient: before.coefficient + term.coefficient };
    else sums.push(term);
  }
  const kept = sums.filter(({ coefficient }) => coefficient !== 0);
  const [first] = kept;
  if (first === undefined) return 0;
  if (kept.length === 1 && first.key === '') return first.coefficient;
  kept.sort(({ key: a }, { key: b }) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1));
  return new DimExpression(kept);
}

const termsOf = (dim: Dim): readonly Term[] => (typeof dim === 'number' ? [termOf(dim, [])] : dim.terms);

const fromAtom = (atom: Atom): DimExpression => new DimExpression([termOf(1, [atom])]);

export function symbolDim(symbol: DimSymbol): DimExpression {
  return fromAtom({ kind: 'symbol', key: symbol.name, symbol });
}

export function addDims(...dims: readonly Dim[]): Dim {
  let constant = 0;
  const expressions: DimExpression[] = [];
  for (const dim of dims) {
    if (typeof dim === 'number') constant += dim;
    else expressions.push(dim);
  }
  const [first] = expressions;
  if (first === undefined) return constant;
  if (expressions.length === 1 && constant === 0) return first;
  const terms = expressions.flatMap((expression) => expression.terms);
  return normalize([...terms, termOf(constant, [])]);
}

export function subtractDims(left: Dim, right: Dim): Dim {
  return left === right ? 0 : addDims(left, multiplyDims(right, -1));
}

export function multiplyDims(...dims: readonly Dim[]): Dim {
  let factor = 1;
  let product: readonly Term[] | undefined;
  for (const dim of dims) {
    if (typeof dim === 'number') factor *= dim;
    else product = product ? multiplyTerms(product, dim.terms) : dim.terms;
  }
  // Adding zero turns -0 into 0.
  if (!product || factor === 0) return factor + 0;
  return normalize(product.map((term) => ({ ...term, coefficient: term.coefficient * factor })));
}

function multiplyTerms(left: readonly Term[], right: readonly Term[]): Term[] {
  return left.flatMap((a) =>
    right.map((b) => {
      const atoms = [...a.atoms, ...b.atoms].sort((x, y) => (x.key < y.key ? -1 : x.key > y.key ? 1 : 0));
      return termOf(a.coefficient * b.coefficient, atoms);
    }),
  );
}

/**
 * ⌈dim / divisor⌉ in a normal form: whole parts leave the ceiling (⌈(9·T + 5)/4⌉ = 2·T + 1 + ⌈(T + 1)/4⌉), common factors
 * go (⌈(6·T + 1)/4⌉ = ⌈(3·T + 1)/2⌉), and a ceiling of a ceiling is one (⌈⌈T/4⌉/8⌉ = ⌈T/32⌉). All atoms are whole.
 */
export function ceilingDivideDim(dim: Dim, divisor: number): Dim {
  if (!Number.isInteger(divisor) || divisor < 1) {
    throw new NearfieldError('internal', `A ceiling needs a whole divisor of at least 1, not ${divisor}`);
  }
  // Adding zero turns -0 into 0.
  if (typeof dim === 'number') return Math.ceil(dim / divisor) + 0;
  const whole: Term[] = [];
  const rest: Term[] = [];
  let constant = 0;
  for (const term of dim.terms) {
    const { coefficient, key } = term;
    if (key === '') {
      constant = coefficient;
      continue;
    }
    const quotient = Math.trunc(coefficient / divisor);
    whole.push({ ...term, coefficient: quotient });
    rest.push({ ...term, coefficient: coefficient - quotient * divisor });
  }
  return addDims(normalize(whole), ceilingOfRest(normalize(rest), constant, divisor));
}

/** ⌈(rest + constant) / divisor⌉ where `rest` has no constant and its coefficients are smaller than the divisor. */
function ceilingOfRest(rest: Dim, constant: number, divisor: number): Dim {
  if (typeof rest === 'number') return Math.ceil((rest + constant) / divisor) + 0;
  const inner = soleAtom(rest);
  if (inner?.kind === 'ceiling') {
    return ceilingDivideDim(addDims(inner.numerator, constant * inner.divisor), divisor * inner.divisor);
  }
  const factor = rest.terms.reduce(
    (common, { coefficient }) => greatestCommonDivisor(common, coefficient),
    divisor,
  );
  const smaller = divisor / factor;
  const left = Math.ceil(constant / factor);
  const wholeConstant = Math.floor(left / smaller);
  const numerator = normalize([
    ...rest.terms.map((term) => ({ ...term, coefficient: term.coefficient / factor })),
    termOf(left - wholeConstant * smaller, []),
  ]);
  if (typeof numerator === 'number') throw new NearfieldError('internal', 'A ceiling lost its symbols');
  const key = `⌈(${numerator})/${smaller}⌉`;
  return addDims(fromAtom({ kind: 'ceiling', key, numerator, divisor: smaller }), wholeConstant);
}

function greatestCommonDivisor(left: number, right: number): number {
  let [a, b] = [Math.abs(left), Math.abs(right)];
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

/** The atom of an expression that is nothing else. */
function soleAtom(dim: Dim): Atom | undefined {
  if (typeof dim === 'number' || dim.terms.length !== 1) return undefined;
  const [term] = dim.terms;
  return term?.coefficient === 1 && term.atoms.length === 1 ? term.atoms[0] : undefined;
}

export function alignDim(dim: Dim, alignment: number): Dim {
  return multiplyDims(ceilingDivideDim(dim, alignment), alignment);
}

/** The larger of two; operands that provably never exceed another one are left out. */
export function maximumDim(left: Dim, right: Dim): Dim {
  if (isAtLeast(left, right)) return left;
  if (isAtLeast(right, left)) return right;
  const all = [...maximumOperands(left), ...maximumOperands(right)];
  const kept = all.filter((operand, place) =>
    all.every((other, index) => {
      if (index === place || !isAtLeast(other, operand)) return true;
      return index > place && isAtLeast(operand, other);
    }),
  );
  const [first] = kept;
  if (first !== undefined && kept.length === 1) return normalize(termsOf(first));
  const operands = kept.map(asExpression).sort((a, b) => (`${a}` < `${b}` ? -1 : 1));
  return fromAtom({ kind: 'maximum', key: `max(${operands.join(', ')})`, operands });
}

function maximumOperands(dim: Dim): readonly Dim[] {
  const atom = soleAtom(dim);
  return atom?.kind === 'maximum' ? atom.operands : [dim];
}

function asExpression(dim: Dim): DimExpression {
  return typeof dim === 'number' ? new DimExpression(dim === 0 ? [] : termsOf(dim)) : dim;
}

function atomBounds(atom: Atom): Bounds {
  switch (atom.kind) {
    case 'symbol':
      return atom.symbol;
    case 'ceiling': {
      const { min, max } = dimBounds(atom.numerator);
      return { min: Math.ceil(min / atom.divisor), max: Math.ceil(max / atom.divisor) };
    }
    case 'maximum': {
      const bounds = atom.operands.map(dimBounds);
      return {
        min: Math.max(...bounds.map(({ min }) => min)),
        max: Math.max(...bounds.map(({ max }) => max)),
      };
    }
  }
}

/** Of a number itself, of an expression its `bounds`. */
export function dimBounds(dim: Dim): Bounds {
  return typeof dim === 'number' ? { min: dim, max: dim } : dim.bounds();
}

function boundsOf(terms: readonly Term[]): Bounds {
  let low = 0;
  let high = 0;
  for (const { coefficient, atoms } of terms) {
    let [min, max] = [coefficient, coefficient];
    for (const atom of atoms) {
      const bounds = atomBounds(atom);
      const corners = [min * bounds.min, min * bounds.max, max * bounds.min, max * bounds.max];
      min = Math.min(...corners);
      max = Math.max(...corners);
    }
    low += min;
    high += max;
  }
  return { min: low, max: high };
}

/** True only where left ≥ right is proved for every value of the symbols, by bounds and by the cases of maxima. */
export function isAtLeast(left: Dim, right: Dim): boolean {
  return dimBounds(left).min >= dimBounds(right).max || isNeverNegative(subtractDims(left, right));
}

/** A sum that rises with a maximum is at least its value at any one operand; any sum has its value at one of them. */
function isNeverNegative(dim: Dim): boolean {
  if (dimBounds(dim).min >= 0) return true;
  const terms = termsOf(dim);
  const maximum = terms.flatMap(({ atoms }) => atoms).find((atom) => atom.kind === 'maximum');
  if (maximum?.kind !== 'maximum') return false;
  const rises = terms.every(
    ({ coefficient, atoms }) =>
      !atoms.some(({ key }) => key === maximum.key) ||
      (coefficient > 0 && atoms.every((atom) => atomBounds(atom).min >= 0)),
  );
  const holds = (operand: DimExpression) => isNeverNegative(substitute(terms, maximum.key, operand));
  return rises ? maximum.operands.some(holds) : maximum.operands.every(holds);
}

function substitute(terms: readonly Term[], key: string, replacement: Dim): Dim {
  const products = terms.map(({ coefficient, atoms }) =>
    multiplyDims(coefficient, ...atoms.map((atom) => (atom.key === key ? replacement : fromAtom(atom)))),
  );
  return addDims(...products);
}

export function dimsEqual(left: Dim, right: Dim): boolean {
  return subtractDims(left, right) === 0;
}

export function evaluateDim(dim: Dim, values: ArrayLike<number>): number {
  return typeof dim === 'number' ? dim : dim.evaluate(values);
}
