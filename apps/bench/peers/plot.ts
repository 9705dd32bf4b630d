/** Bars as SVG: speeds relative to native, one group a row, the goal and the floor marked. */

export interface Bar {
  readonly label: string;
  /** Share of native's speed; undefined: not measured. */
  readonly value: number | undefined;
}

export interface BarGroup {
  readonly title: string;
  readonly goal?: number;
  readonly floor?: number;
  readonly bars: readonly Bar[];
}

const colours = ['#2563eb', '#0891b2', '#a16207', '#9ca3af'];
const [left, width, barHeight, groupGap, top] = [250, 420, 14, 16, 64];
/** Longer bars are cut here and say so. */
const largest = 4;

export function barPlot(title: string, subtitle: string, groups: readonly BarGroup[]): string {
  const parts: string[] = [];
  let y = top;
  for (const group of groups) {
    parts.push(text(left - 10, y + (group.bars.length * barHeight) / 2 + 4, group.title, 'end', 12));
    for (const [index, bar] of group.bars.entries()) parts.push(drawBar(bar, index, y + index * barHeight));
    const bottom = y + group.bars.length * barHeight;
    if (group.goal !== undefined) parts.push(mark(group.goal, y, bottom, '#15803d'));
    if (group.floor !== undefined) parts.push(mark(group.floor, y, bottom, '#b91c1c'));
    y = bottom + groupGap;
  }
  const height = y + 30;
  const legend = groups[0]?.bars.map(({ label }, index) =>
    [
      `<rect x="${left + index * 130}" y="44" width="10" height="10" fill="${colours[index % colours.length]}"/>`,
      text(left + 14 + index * 130, 53, label, 'start', 11),
    ].join(''),
  );
  const head = [
    text(12, 22, title, 'start', 15),
    text(12, 38, subtitle, 'start', 11),
    ...(legend ?? []),
    ...[0, 1, 2, 3, 4].map((value) => gridLine(value, y)),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + width + 70} ${height}" font-family="system-ui, sans-serif">
<title>${escapeText(title)}</title>
<rect width="100%" height="100%" fill="#ffffff"/>
${[...head, ...parts].join('\n')}
${text(12, height - 8, 'Native = 1. Green: goal, red: floor.', 'start', 11)}
</svg>
`;
}

const scale = (value: number): number => (Math.min(value, largest) / largest) * width;

function drawBar({ value }: Bar, index: number, y: number): string {
  const shown = value === undefined ? '–' : value.toFixed(value < 0.1 ? 3 : 2);
  const length = scale(value ?? 0);
  const colour = colours[index % colours.length];
  return `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="${barHeight - 2}" fill="${colour}"/>${text(left + length + 4, y + 10, shown, 'start', 10)}`;
}

function mark(value: number, from: number, to: number, colour: string): string {
  const x = (left + scale(value)).toFixed(1);
  return `<line x1="${x}" y1="${from - 3}" x2="${x}" y2="${to + 1}" stroke="${colour}" stroke-width="2"/>`;
}

function gridLine(value: number, bottom: number): string {
  const x = left + scale(value);
  const line = `<line x1="${x}" y1="${top - 4}" x2="${x}" y2="${bottom - 8}" stroke="${value === 1 ? '#111827' : '#e5e7eb'}"/>`;
  return line + text(x, bottom + 4, `${value}x`, 'middle', 10);
}

function text(x: number, y: number, content: string, anchor: string, size: number): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" font-size="${size}">${escapeText(content)}</text>`;
}

function escapeText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
