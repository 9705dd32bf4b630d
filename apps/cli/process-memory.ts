/** What this process holds of the machine's memory. */
import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';

/** The most that was resident since the process began. */
export function peakResidentBytes(): number {
  // On Linux the counter of `resourceUsage` begins with the memory of the process that started this one.
  const line = statusLine('VmHWM');
  return line ?? process.resourceUsage().maxRSS * 1024;
}

export function residentBytes(): number {
  return process.memoryUsage.rss();
}

/** What this process may come to hold in all: what it has and what is free, within its limits. */
export function availableBytes(): number {
  const free = freemem();
  const constrained = process.constrainedMemory();
  const mine = free + residentBytes();
  return constrained > 0 ? Math.min(mine, constrained) : mine;
}

function statusLine(name: string): number | undefined {
  try {
    const match = new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
    return match ? Number(match[1]) * 1024 : undefined;
  } catch {
    return undefined;
  }
}
