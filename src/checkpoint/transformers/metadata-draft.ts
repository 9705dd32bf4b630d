/** Metadata under way: values, and the type each has in a GGUF file. */
import type { MetadataValue } from '../../checkpoint.ts';

export class MetadataDraft {
  readonly entries = new Map<string, MetadataValue>();
  readonly types = new Map<string, string>();

  set(key: string, type: string, value: MetadataValue): void {
    this.entries.set(key, value);
    this.types.set(key, type);
  }
}
