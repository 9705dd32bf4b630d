/** Looks up fields of a model's config.json, whose names and presence differ between families and years. */
import { NearfieldError } from '../../base/error.ts';
import { isRecord, type JsonRecord } from '../json.ts';

/** One name, or all that have been used for it; the first that is there counts. `a.b` is field b of object a. */
export type FieldNames = string | readonly string[];

export class ModelConfig {
  readonly #fileName: string;
  readonly fields: JsonRecord;

  /** `fileName` is for messages. Models that also see or hear describe their language part in an object of its own. */
  constructor(fileName: string, config: unknown) {
    this.#fileName = fileName;
    if (!isRecord(config)) {
      throw new NearfieldError(
        'bad-file',
        `${fileName} is no JSON object; the file is corrupt, get it again`,
      );
    }
    this.fields = isRecord(config.text_config) ? { ...config, ...config.text_config } : config;
    this.classes = Array.isArray(config.architectures) ? config.architectures.filter(isString) : [];
  }

  /** The same where fields that are missing, or null, have these values. */
  with(defaults: JsonRecord): ModelConfig {
    const missing = Object.entries(defaults).filter(([name]) => this.value(name) === undefined);
    return new ModelConfig(this.#fileName, {
      ...this.fields,
      ...Object.fromEntries(missing),
      text_config: undefined,
    });
  }

  /** Names of the classes that transformers would make of it. */
  readonly classes: readonly string[];

  /** Undefined where the field is missing or null. */
  value(names: FieldNames): unknown {
    for (const name of typeof names === 'string' ? [names] : names) {
      let value: unknown = this.fields;
      for (const step of name.split('.')) value = isRecord(value) ? value[step] : undefined;
      if (value !== undefined && value !== null) return value;
    }
    return undefined;
  }

  /** Undefined where the field is missing; throws `bad-file` for what is no finite number. */
  number(names: FieldNames): number | undefined {
    const value = this.value(names);
    if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
    return this.fail(names, `is ${show(value)}, not a number`);
  }

  /** From 1 on. */
  count(names: FieldNames): number {
    const value = this.number(names);
    if (value !== undefined && Number.isSafeInteger(value) && value >= 1) return value;
    return this.fail(names, value === undefined ? 'is missing' : `is ${value}, not a count`);
  }

  numbers(names: FieldNames): readonly number[] | undefined {
    const value = this.value(names);
    if (value === undefined) return undefined;
    return Array.isArray(value) && value.every((item): item is number => typeof item === 'number')
      ? value
      : this.fail(names, 'is no list of numbers');
  }

  boolean(names: FieldNames): boolean | undefined {
    const value = this.value(names);
    return value === undefined || typeof value === 'boolean'
      ? value
      : this.fail(names, `is ${show(value)}, not true or false`);
  }

  string(names: FieldNames): string | undefined {
    const value = this.value(names);
    return value === undefined || isString(value) ? value : this.fail(names, `is ${show(value)}, not a text`);
  }

  /** Throws `bad-file` about a field. */
  fail(names: FieldNames, problem: string): never {
    throw new NearfieldError('bad-file', `${this.#fileName}: ${this.#name(names)} ${problem}`);
  }

  /** Throws `unsupported` about a field: valid, but no model like this can be run. */
  refuse(names: FieldNames, problem: string): never {
    throw new NearfieldError('unsupported', `${this.#fileName}: ${this.#name(names)} ${problem}`);
  }

  #name(names: FieldNames): string {
    return typeof names === 'string'
      ? names
      : (names.find((name) => this.value(name) !== undefined) ?? names[0] ?? '');
  }
}

const isString = (value: unknown): value is string => typeof value === 'string';

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}
