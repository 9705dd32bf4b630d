/** Memory that the garbage collector is to free though it does not see how much there is. */
import { nextTurn } from './platform.ts';

/** A host that is told of less may wait for more, and for less a pass is not worth its time. */
const noticedBytes = 64 << 20;
const reminderBytes = 1 << 30;
/** Several make a pass, and a pass that was under way keeps what it met before it was let go. */
const mostReminders = 12;
/** What was found dead is freed some time later. */
const remindersToFree = 5;

/**
 * Makes the collector look for a WebAssembly memory of `byteLength` bytes that was just let go; resolves when it is mostly
 * gone, or after a few passes where somebody still holds it. Collectors do not count what such a memory holds, so that
 * those of several models would pile up before they look. They do count an ArrayBuffer, and one that nobody touches takes
 * no memory.
 */
export async function collect(memory: WeakRef<object>, byteLength: number): Promise<void> {
  if (byteLength < noticedBytes) {
    // Added up, the small ones are noticed.
    remindCollector(byteLength);
    return;
  }
  const reminders: (Reminder | undefined)[] = [];
  for (let left = mostReminders; left > 0; left--) {
    reminders.push(remindCollector(reminderBytes));
    await nextTurn();
    if (memory.deref() === undefined) left = Math.min(left, remindersToFree);
    // To have asked keeps it until this turn ends.
    await nextTurn();
  }
  for (const reminder of reminders) reminder?.transfer?.(0);
}

/** Node 20 cannot free one by `transfer`. */
type Reminder = ArrayBuffer & { transfer?(byteLength: number): ArrayBuffer };

/** Undefined from a host without room for it, which has looked. */
function remindCollector(byteLength: number): Reminder | undefined {
  try {
    return new ArrayBuffer(byteLength);
  } catch {
    return undefined;
  }
}
