/** Files of random weights in named shapes, made once and kept in the system's temporary folder. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatMix } from './format-mixes.ts';
import { type ModelShapeName, modelShapes } from './model-shapes.ts';
import { writeRandomModel } from './random-model.ts';

/** Part of the file names; counts up when the same shape gives other bytes. */
const generation = 1;

export const shapeNames = Object.keys(modelShapes) as readonly ModelShapeName[];

/** Path of the file; `onMake` is told when it is not there yet. Throws `unsupported` for a format there is not. */
export async function shapeFile(
  name: ModelShapeName,
  formatName: string,
  options: { readonly signal?: AbortSignal; readonly onMake?: (path: string) => void } = {},
): Promise<string> {
  const shape = modelShapes[name];
  const format = formatMix(formatName, shape);
  const folder = join(tmpdir(), 'nearfield-bench');
  const path = join(folder, `${name}-${formatName.toLowerCase()}-${generation}.gguf`);
  if (existsSync(path)) return path;
  options.onMake?.(path);
  await mkdir(folder, { recursive: true });
  await writeRandomModel(path, { shape, format }, options.signal);
  return path;
}
