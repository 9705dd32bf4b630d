/** A model the user points at, before it is loaded. */
import { type KeptModel, type ModelInput, openKeptModel } from '../../src/index.ts';
import { fileNameOf } from './words.ts';

export interface ModelChoice {
  /** File name, for people. */
  readonly label: string;
  /** On this device already, whole. */
  readonly isKept: boolean;
  open(): Promise<ModelInput>;
}

export const includedAddress = 'models/fable-4m-q8_0.gguf';

export function choiceOfFiles(files: readonly File[]): ModelChoice {
  const label = files.length > 1 ? `${files[0]?.name} and ${files.length - 1} more` : (files[0]?.name ?? '');
  const [first] = files;
  const input: ModelInput = files.length === 1 && first ? first : files;
  return { label, isKept: false, open: async () => input };
}

/** All files of a folder that was picked, but for those of folders in it. */
export function choiceOfFolder(files: readonly File[]): ModelChoice {
  const inside = files.filter(({ webkitRelativePath }) => webkitRelativePath.split('/').length <= 2);
  const [label = ''] = files[0]?.webkitRelativePath.split('/') ?? [];
  return { label, isKept: false, open: async () => inside };
}

export function choiceOfAddress(address: string): ModelChoice {
  return { label: fileNameOf(address), isKept: false, open: async () => address };
}

export function choiceOfKept(model: KeptModel): ModelChoice {
  return { label: fileNameOf(model.source), isKept: true, open: () => openKeptModel(model) };
}

/** The kept copy of what an address names, where there is a whole one. */
export function keptFrom(address: string, kept: readonly KeptModel[]): KeptModel | undefined {
  const { href } = new URL(address, document.baseURI);
  return kept.find(({ source, byteLength, keptBytes }) => source === href && keptBytes === byteLength);
}
