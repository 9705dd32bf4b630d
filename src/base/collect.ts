/** Memory that the garbage collector is to free though it does not see how much there is. */
import { nextTurn } from './platform.ts';

/** A host that is told of less may wait for more, and for less a pass is not worth its time. */
const noticedBytes = 64 << 20;
const reminderBytes = 1 << 30;
/** Several reminders make a pass, and a pass that was under way keeps what it met before it was let go. */
const mostReminders = 8;

/**
 * Makes the collector look for a buffer of `byteLength` bytes that was just let go; resolves when it is gone, or after a
 * few passes where somebody still holds it. Collectors do not count what a WebAssembly memory holds, so that the memories
 * of several models would pile up before they look. They do count an ArrayBuffer, and one that nobody touches takes no
 * memory.
 */
export async function collect(buffer: WeakRef<object>, byteLength: number): Promise<void> {
  const reminders: (ArrayBuffer & { transfer?(byteLength: number): ArrayBuffer })[] = [];
  const [size, most] = byteLength < noticedBytes ? [byteLength, 1] : [reminderBytes, mostReminders];
  while (reminders.length < most) {
    try {
      reminders.push(new ArrayBuffer(size));
    } catch {
      // A host without room for it has looked.
      break;
    }
    await nextTurn();
    if (buffer.deref() === undefined) break;
    // To have asked keeps it until this turn ends.
    await nextTurn();
  }
  // A small one stays, so that they add up.
  if (most > 1) for (const reminder of reminders) reminder.transfer?.(0);
}
