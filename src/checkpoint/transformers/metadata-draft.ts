/** Metadata under way: values, and the type each has in a GGUF file. */
import type { MetadataValue } from '../../checkpoint.ts';

export class MetadataDraft {
  readonly entries = new Map<string, MetadataValue>();
  readonly types = new Map<string, string>();

  /** Rounded as it would be in the file, so that a model is the same from either. */
  set(key: string, type: string, value: MetadataValue): void {
    this.entries.set(key, type === 'float32' && typeof value === 'number' ? Math.fround(value) : value);
    this.types.set(key, type);
  }
}
