/** Memory that the garbage collector is to free though it does not see how much there is. */
import { nextTurn } from './platform.ts';

/** A host that is told of less may wait for more, and for less a pass is not worth its time. */
const noticedBytes = 64 << 20;
/** Several reminders make a pass, and a pass that was under way keeps what it met before it was let go. */
const [reminders, reminderBytes] = [6, 1 << 30];

/**
 * Makes the collector look for WebAssembly memories of `byteLength` bytes that were just let go; resolves when they are
 * gone, unless somebody still holds them. Collectors do not count what such memories hold, so that those of several models
 * would pile up before they look. They do count an ArrayBuffer, and one that nobody touches takes no memory.
 */
export async function collect(byteLength: number): Promise<void> {
  if (byteLength < noticedBytes) {
    // Added up, the small ones are noticed.
    remindCollector(byteLength);
    return;
  }
  const made: (Reminder | undefined)[] = [];
  while (made.length < reminders) {
    made.push(remindCollector(reminderBytes));
    await nextTurn();
    await nextTurn();
  }
  for (const reminder of made) reminder?.transfer?.(0);
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
