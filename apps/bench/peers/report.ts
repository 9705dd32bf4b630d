/** What `bench:peers` measured, as Markdown tables and as the groups of the plot. */
import { printBytes } from '../../../src/base/print-bytes.ts';
import type { Kind } from './contender.ts';
import type { MeasuredSet, Measurement } from './measure-rows.ts';
import { medianOf } from './median.ts';
import type { BarGroup } from './plot.ts';
import { isBetterLow, type Row, rows, unitOf } from './rows.ts';

export interface ModelSet extends MeasuredSet {
  readonly model: string;
  readonly threads: number;
  /** When and how it was measured, of each call. */
  readonly conditions: readonly string[];
}

export const kindTitles: Record<Kind, string> = {
  'nearfield-node': 'Nearfield, Node',
  'nearfield-chromium': 'Nearfield, Chromium',
  native: 'native',
  'wllama-2': 'wllama 2.2.1',
  'wllama-latest': 'wllama 3.8.1',
};

const columns: readonly Kind[] = [
  'nearfield-node',
  'nearfield-chromium',
  'native',
  'wllama-2',
  'wllama-latest',
];

interface Best {
  readonly measurement: Measurement;
  readonly median: number;
}

/** The best of a kind's settings; native's over fewer threads too. */
function bestOf(sets: readonly ModelSet[], set: ModelSet, row: Row, kind: Kind): Best | undefined {
  const fits = (other: ModelSet): boolean =>
    other.model === set.model &&
    (kind === 'native' ? other.threads <= set.threads : other.threads === set.threads);
  const found = sets
    .filter(fits)
    .flatMap(({ measurements }) => measurements)
    .filter(({ row: name, spec, values }) => name === row.name && spec.kind === kind && values.length > 0)
    .map((measurement) => ({ measurement, median: medianOf(measurement.values) }));
  const sign = isBetterLow(row) ? -1 : 1;
  return found.sort((a, b) => sign * (b.median - a.median))[0];
}

/** How many times as fast `ours` is; of a step's ratio the plain quotient. */
function gain(row: Row, ours: Best | undefined, theirs: Best | undefined): number | undefined {
  if (!ours || !theirs) return undefined;
  return row.kind === 'first-token' ? theirs.median / ours.median : ours.median / theirs.median;
}

export function setReport(sets: readonly ModelSet[], set: ModelSet): string {
  const present = columns.filter((kind) => set.contenders.some(({ spec }) => spec.kind === kind));
  const ratios = ['Node / native', 'Chromium / native', 'Chromium / wllama 2.2.1'];
  const lines = [
    `### ${set.model}, Q4_0, ${set.threads} ${set.threads === 1 ? 'thread' : 'threads'}`,
    '',
    `| | ${present.map((kind) => kindTitles[kind]).join(' | ')} | ${ratios.join(' | ')} |`,
    `|---|${[...present, ...ratios].map(() => '---:').join('|')}|`,
  ];
  for (const row of rows) {
    if (!set.measurements.some(({ row: name }) => name === row.name)) continue;
    const cells = present.map((kind) => cell(set, row, kind, bestOf(sets, set, row, kind)));
    const [node, chromium, native, wllama] = (
      ['nearfield-node', 'nearfield-chromium', 'native', 'wllama-2'] as const
    ).map((kind) => bestOf(sets, set, row, kind));
    const gains = [gain(row, node, native), gain(row, chromium, native), gain(row, chromium, wllama)];
    lines.push(`| ${row.name} (${unitOf(row)}) | ${[...cells, ...gains.map(printRatio)].join(' | ')} |`);
  }
  lines.push(`| peak resident | ${present.map((kind) => peakOf(set, kind)).join(' | ')} | | | |`, '');
  lines.push(...set.conditions.flatMap((conditions) => [conditions, '']));
  lines.push('Settings:', '');
  for (const { spec, about } of set.contenders) lines.push(`- ${kindTitles[spec.kind]}: ${about}`);
  return `${lines.join('\n')}\n`;
}

function cell(set: ModelSet, { name, kind: rowKind }: Row, kind: Kind, best: Best | undefined): string {
  if (!best) {
    const left = set.measurements.find(({ row, spec }) => row === name && spec.kind === kind);
    return left?.note ?? '';
  }
  const { values, spec } = best.measurement;
  const digits = rowKind === 'first-token' ? 0 : best.median < 20 ? 2 : 1;
  const shown = (value: number): string => value.toFixed(digits);
  const spread = values.length > 1 ? ` (${shown(Math.min(...values))}–${shown(Math.max(...values))})` : '';
  const settings = [
    ...(kind === 'native' ? [`flash ${spec.flashAttention ? 'on' : 'off'}`] : []),
    ...(spec.cache === undefined ? [] : [spec.cache]),
    ...(spec.threads === set.threads ? [] : [`${spec.threads} thread`]),
  ].map((setting) => `, ${setting}`);
  const star = best.measurement.disturbed ? '*' : '';
  return `${shown(best.median)}${star}${spread}${settings.join('')}`;
}

function peakOf({ contenders }: ModelSet, kind: Kind): string {
  const peaks = contenders.filter(({ spec }) => spec.kind === kind).map(({ peakBytes }) => peakBytes);
  return peaks.length > 0 ? printBytes(Math.min(...peaks.filter((bytes) => bytes > 0))) : '';
}

const printRatio = (ratio: number | undefined): string => (ratio === undefined ? '' : `${ratio.toFixed(2)}x`);

/** Everything native was tried with, so that its best can be seen to be one. */
export function nativeReport(set: ModelSet): string {
  const natives = set.contenders.filter(({ spec }) => spec.kind === 'native').map(({ spec }) => spec);
  if (natives.length === 0) return '';
  const title = ({ flashAttention, cache }: (typeof natives)[number]): string =>
    `flash ${flashAttention ? 'on' : 'off'}, ${cache}`;
  const lines = [
    `Native's settings, ${set.model}, ${set.threads} ${set.threads === 1 ? 'thread' : 'threads'} (medians):`,
    '',
    `| | ${natives.map(title).join(' | ')} |`,
    `|---|${natives.map(() => '---:').join('|')}|`,
  ];
  for (const row of rows) {
    const cells = natives.map((spec) => {
      const found = set.measurements.find(
        (measurement) =>
          measurement.row === row.name &&
          title(measurement.spec) === title(spec) &&
          measurement.spec.kind === 'native' &&
          measurement.values.length > 0,
      );
      return found ? medianOf(found.values).toFixed(row.kind === 'first-token' ? 0 : 1) : '';
    });
    if (cells.some((text) => text !== '')) lines.push(`| ${row.name} | ${cells.join(' | ')} |`);
  }
  return `${lines.join('\n')}\n`;
}

/** Goals that are missed, and by how much. */
export function shortfalls(sets: readonly ModelSet[], set: ModelSet): string {
  const lines: string[] = [];
  for (const row of rows) {
    const against = (theirs: Kind, target: Row['native'], ours: readonly Kind[]): void => {
      if (!target) return;
      const floor = set.model.startsWith('134') ? (target.floorSmall ?? target.floor) : target.floor;
      for (const kind of ours) {
        const ratio = gain(row, bestOf(sets, set, row, kind), bestOf(sets, set, row, theirs));
        if (ratio === undefined || ratio >= target.goal) continue;
        const state =
          ratio < floor ? `**below the floor ${floor.toFixed(2)}x**` : `above the floor ${floor.toFixed(2)}x`;
        lines.push(
          `- ${row.name}: ${kindTitles[kind]} is ${ratio.toFixed(2)}x of ${kindTitles[theirs]}, goal ${target.goal.toFixed(2)}x, ${state}`,
        );
      }
    };
    against('native', row.native, ['nearfield-node', 'nearfield-chromium']);
    against('wllama-2', row.wllama, ['nearfield-chromium']);
    if (row.kind === 'step') {
      const ratio = gain(row, bestOf(sets, set, row, 'nearfield-node'), bestOf(sets, set, row, 'native'));
      if (ratio !== undefined && ratio > 1)
        lines.push(`- ${row.name}: ${ratio.toFixed(2)} times native's ratio, goal at most 1`);
    }
  }
  return lines.length > 0 ? `${lines.join('\n')}\n` : 'Every goal of this table is reached.\n';
}

export function plotGroups(sets: readonly ModelSet[], set: ModelSet): BarGroup[] {
  const shown = columns.filter((kind) => kind !== 'native');
  return rows.flatMap((row): BarGroup[] => {
    const native = bestOf(sets, set, row, 'native');
    if (row.kind === 'step' || !native) return [];
    const bars = shown.map((kind) => ({
      label: kindTitles[kind],
      value: gain(row, bestOf(sets, set, row, kind), native),
    }));
    const floor = set.model.startsWith('134')
      ? (row.native?.floorSmall ?? row.native?.floor)
      : row.native?.floor;
    const targets = row.native && floor !== undefined ? { goal: row.native.goal, floor } : {};
    return [{ title: row.name, bars, ...targets }];
  });
}
