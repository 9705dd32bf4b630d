/**
 * The small model of the layer cases written down a second time, on plain arrays and without anything of the engine: no
 * cache, no step, no plan. Complex numbers for the rotations and a full score matrix, so that it shares no shortcut.
 */
import type { LayerShape } from './layer-cases.ts';

type Matrix = number[][];

const row = (values: ArrayLike<number>, index: number, width: number): number[] =>
  Array.from({ length: width }, (_, i) => values[index * width + i] ?? Number.NaN);

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.map((value, i) => value * (b[i] ?? Number.NaN)).reduce((sum, value) => sum + value, 0);

/** Logits `[tokens, V]` of a prompt. `weights`: decoded values by tensor name. */
export function naiveLogits(
  shape: LayerShape,
  weights: ReadonlyMap<string, ArrayLike<number>>,
  tokens: readonly number[],
): number[] {
  const tensor = (name: string): ArrayLike<number> => {
    const values = weights.get(name);
    if (!values) throw new Error(`No tensor ${name}`);
    return values;
  };
  const project = (x: Matrix, name: string, bias = false): Matrix => {
    const values = tensor(name);
    const width = x[0]?.length ?? 0;
    const rows = Array.from({ length: values.length / width }, (_, index) => row(values, index, width));
    return x.map((own) =>
      rows.map((w, n) => dot(own, w) + (bias ? (tensor(`${name}.bias`)[n] ?? Number.NaN) : 0)),
    );
  };
  const normed = (x: Matrix, name: string): Matrix =>
    x.map((own) => {
      const size = (dot(own, own) / own.length + 1e-5) ** -0.5;
      return own.map((value, i) => value * size * (tensor(name)[i] ?? Number.NaN));
    });
  const plus = (x: Matrix, y: Matrix): Matrix =>
    x.map((own, t) => own.map((value, i) => value + (y[t]?.[i] ?? Number.NaN)));

  const { headSize, group, keyValueHeadCount, window = 1e9 } = shape;
  const headsOf = (x: Matrix, head: number): Matrix =>
    x.map((own) => own.slice(head * headSize, (head + 1) * headSize));
  /** Multiplies pair (a + bi) by e^(i · position · frequency). */
  const turned = (x: Matrix): Matrix =>
    x.map((own, position) => {
      const out = [...own];
      for (let pair = 0; pair < headSize / 2; pair++) {
        const [a, b] = shape.pairing === 'adjacent' ? [2 * pair, 2 * pair + 1] : [pair, pair + headSize / 2];
        const angle = position / 10_000 ** ((2 * pair) / headSize);
        const [real, imaginary] = [own[a] ?? Number.NaN, own[b] ?? Number.NaN];
        out[a] = real * Math.cos(angle) - imaginary * Math.sin(angle);
        out[b] = imaginary * Math.cos(angle) + real * Math.sin(angle);
      }
      return out;
    });

  let stream: Matrix = tokens.map((id) => row(tensor('token_embd'), id, shape.hidden));
  for (let layer = 0; layer < shape.layers; layer++) {
    const name = (part: string) => `blk.${layer}.${part}`;
    const input = normed(stream, name('attn_norm'));
    const [q, k, v] = ['attn_q', 'attn_k', 'attn_v'].map((part) =>
      project(input, name(part), shape.bias),
    ) as [Matrix, Matrix, Matrix];
    const heads = Array.from({ length: keyValueHeadCount * group }, (_, head) => {
      const shared = Math.floor(head / group);
      const [queries, keys, values] = [
        turned(headsOf(q, head)),
        turned(headsOf(k, shared)),
        headsOf(v, shared),
      ];
      return queries.map((query, t) => {
        const powers = keys.map((key, s) =>
          s <= t && s > t - window ? Math.exp(dot(query, key) / Math.sqrt(headSize)) : 0,
        );
        const total = powers.reduce((sum, value) => sum + value, 0);
        return Array.from(
          { length: headSize },
          (_unused, i) =>
            dot(
              powers,
              values.map((value) => value[i] ?? Number.NaN),
            ) / total,
        );
      });
    });
    const attended = tokens.map((_, t) => heads.flatMap((head) => head[t] ?? []));
    const middle = plus(stream, project(attended, name('attn_output')));
    const forward = normed(middle, name('ffn_norm'));
    const up = project(forward, name('ffn_up'), shape.bias);
    const gated = project(forward, name('ffn_gate'), shape.bias).map((own, t) =>
      own.map((value, i) => (value / (1 + Math.exp(-value))) * (up[t]?.[i] ?? Number.NaN)),
    );
    stream = plus(middle, project(gated, name('ffn_down')));
  }
  return project(normed(stream, 'output_norm'), 'token_embd').flat();
}
