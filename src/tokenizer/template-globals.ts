/** What a chat template may call: the names that Hugging Face's renderer gives it, bounded where they could be abused. */
import { NearfieldError } from '../base/error.ts';
import type { TemplateBudget } from './template-budget.ts';

/** A template refuses what it is given by `raise_exception`: thrown as `bad-argument` with the template's own words. */
export function templateGlobals(budget: TemplateBudget, now: Date): Map<string, unknown> {
  return new Map<string, unknown>([
    ['true', true],
    ['True', true],
    ['false', false],
    ['False', false],
    ['none', null],
    ['None', null],
    ['raise_exception', refuse],
    ['strftime_now', (format: unknown) => formatTime(now, String(format))],
    ['range', (...bounds: unknown[]) => boundedRange(bounds.map(Number), budget)],
  ]);
}

function refuse(reason: unknown): never {
  const line = String(reason).replaceAll(/\s+/g, ' ').slice(0, 300);
  throw new NearfieldError('bad-argument', `The chat template does not accept these messages: ${line}`);
}

/** Python's range. */
function boundedRange(bounds: readonly number[], budget: TemplateBudget): number[] {
  const [start = 0, stop = 0, step = 1] = bounds.length === 1 ? [0, ...bounds] : bounds;
  const count = Math.ceil((stop - start) / step);
  if (!Number.isFinite(count)) throw new Error('range() takes numbers, the step not zero');
  if (count <= 0) return [];
  budget.spend(count);
  return Array.from({ length: count }, (_, index) => start + index * step);
}

const weekdays = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** C's strftime in English, as far as templates use it; other directives stay as they are. Local time. */
export function formatTime(time: Date, format: string): string {
  const padded = (value: number, width = 2): string => String(value).padStart(width, '0');
  const weekday = weekdays[time.getDay()] ?? '';
  const month = months[time.getMonth()] ?? '';
  const hour12 = time.getHours() % 12 || 12;
  const dayOfYear =
    Math.round(
      (Date.UTC(time.getFullYear(), time.getMonth(), time.getDate()) - Date.UTC(time.getFullYear(), 0, 1)) /
        86_400_000,
    ) + 1;
  const parts: { readonly [directive: string]: string } = {
    Y: padded(time.getFullYear(), 4),
    y: padded(time.getFullYear() % 100),
    m: padded(time.getMonth() + 1),
    d: padded(time.getDate()),
    e: String(time.getDate()).padStart(2, ' '),
    j: padded(dayOfYear, 3),
    H: padded(time.getHours()),
    I: padded(hour12),
    M: padded(time.getMinutes()),
    S: padded(time.getSeconds()),
    p: time.getHours() < 12 ? 'AM' : 'PM',
    A: weekday,
    a: weekday.slice(0, 3),
    B: month,
    b: month.slice(0, 3),
    F: `${padded(time.getFullYear(), 4)}-${padded(time.getMonth() + 1)}-${padded(time.getDate())}`,
    T: `${padded(time.getHours())}:${padded(time.getMinutes())}:${padded(time.getSeconds())}`,
    '%': '%',
  };
  // A minus leaves the padding away.
  return format.replaceAll(/%(-?)([A-Za-z%])/g, (whole, minus: string, directive: string) => {
    const part = parts[directive];
    if (part === undefined) return whole;
    return minus === '' ? part : part.replace(/^[0 ]+(?=.)/, '');
  });
}
