/** A bar on standard error while something long goes on; nothing where that is no terminal, or one that cannot redraw a line. */

export interface ProgressBar {
  /** `detail` stands behind the bar: a size, a speed. */
  update(label: string, done: number, total: number, detail?: string): void;
  /** Takes the bar away; it comes back with the next update. */
  clear(): void;
}

const cells = 24;
const redrawMs = 60;
/** Nothing appears for what is over sooner. */
const patienceMs = 250;

export function openProgressBar(stream: NodeJS.WriteStream = process.stderr): ProgressBar {
  if (!stream.isTTY || process.env.TERM === 'dumb') return { update: () => {}, clear: () => {} };
  let label = '';
  let begunMs = 0;
  let drawnMs = 0;
  let isDrawn = false;
  return {
    update(newLabel, done, total, detail = '') {
      const now = performance.now();
      if (newLabel !== label) [label, begunMs] = [newLabel, now];
      const isTooSoon = now - begunMs < patienceMs || (now - drawnMs < redrawMs && done < total);
      if (isTooSoon || total <= 0) return;
      drawnMs = now;
      isDrawn = true;
      const share = Math.min(1, done / total);
      const full = Math.round(share * cells);
      const bar = `${'█'.repeat(full)}${'░'.repeat(cells - full)}`;
      const percent = `${Math.floor(share * 100)} %`.padStart(5);
      stream.write(`\r${label} ${bar} ${percent} ${detail}\x1b[K`);
    },
    clear() {
      if (isDrawn) stream.write('\r\x1b[K');
      isDrawn = false;
      label = '';
    },
  };
}
