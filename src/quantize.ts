/**
 * Quantizing: a checkpoint in, a GGUF file of smaller formats out. A recipe says which tensor gets which format; an
 * importance matrix, made from a calibration text, says which columns matter.
 */
export {
  allRecipes,
  type ChooseOptions,
  type ChosenFormat,
  chooseFormats,
  type FormatChoice,
  recipeByName,
} from './quantize/choose-formats.ts';
export { type CollectOptions, collectImportance } from './quantize/collect-importance.ts';
export { readImatrix, writeImatrix } from './quantize/imatrix-file.ts';
export { Importance, type ImportanceEntry, type ImportanceFile } from './quantize/importance.ts';
export {
  type QuantizedTensor,
  type QuantizeOptions,
  type QuantizeReport,
  quantizeCheckpoint,
} from './quantize/quantize-checkpoint.ts';
export type { Recipe } from './quantize/recipes.ts';
