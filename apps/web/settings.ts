/** What the user has set, kept in the browser's local storage. */
import { backendNames, type GenerateOptions, type LoadOptions, type Priority } from '../../src/index.ts';

export interface Settings {
  readonly system: string;
  readonly temperature: number;
  readonly topP: number;
  readonly maxTokens: number;
  /** Undefined: another one for each answer. */
  readonly seed: number | undefined;
  readonly theme: 'light' | 'dark' | '';
  /** For loading. */
  readonly backend: NonNullable<LoadOptions['backend']>;
  readonly priority: Priority;
  readonly keeps: boolean;
}

export const defaultSettings: Settings = {
  system: '',
  temperature: 0.8,
  topP: 0.95,
  maxTokens: 512,
  seed: undefined,
  theme: '',
  backend: 'auto',
  priority: 'interactive',
  keeps: true,
};

const storageKey = 'nearfield-settings';

/** Whatever is missing, or of another kind than it should be, is as in `defaultSettings`. */
export function parseSettings(text: string | null): Settings {
  const stored = parseObject(text);
  const number = (key: 'temperature' | 'topP' | 'maxTokens', least: number, most: number): number => {
    const value = stored[key];
    return typeof value === 'number' && value >= least && value <= most ? value : defaultSettings[key];
  };
  const { system, seed, theme, backend, priority, keeps } = stored;
  return {
    system: typeof system === 'string' ? system : defaultSettings.system,
    temperature: number('temperature', 0, 5),
    topP: number('topP', 0, 1),
    maxTokens: Math.round(number('maxTokens', 1, 2 ** 20)),
    seed: typeof seed === 'number' && Number.isSafeInteger(seed) && seed >= 0 ? seed : undefined,
    theme: theme === 'light' || theme === 'dark' ? theme : '',
    backend: backendNames.find((name) => name === backend) ?? 'auto',
    priority: priority === 'throughput' ? priority : defaultSettings.priority,
    keeps: typeof keeps === 'boolean' ? keeps : defaultSettings.keeps,
  };
}

/** Those of the start where the browser refuses the page its storage. */
export function readSettings(): Settings {
  try {
    return parseSettings(localStorage.getItem(storageKey));
  } catch {
    return parseSettings(null);
  }
}

/** They hold for this visit where the browser keeps none. */
export function writeSettings(settings: Settings): void {
  try {
    localStorage.setItem(storageKey, JSON.stringify(settings));
  } catch {}
}

export function generateOptionsOf({ temperature, topP, maxTokens, seed }: Settings): GenerateOptions {
  return { temperature, topP, maxTokens, ...(seed === undefined ? {} : { seed }) };
}

function parseObject(text: string | null): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
