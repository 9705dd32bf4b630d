/** What streaming has cost so far, and how much of reading and computing went on at the same time. */

export interface StreamTraffic {
  /** Passes through the streamed layers. */
  readonly passes: number;
  readonly bytesRead: number;
  /** Milliseconds during which anything was read, computed, or both. */
  readonly readMs: number;
  readonly computeMs: number;
  readonly bothMs: number;
  /** Blocks of the sidecar that were damaged and put right from the model's file. */
  readonly repairedBlocks: number;
  /** Groups of rows of the embedding that were read from the model's file. */
  readonly rowGroupsRead: number;
}

/** A read, or packing that makes or mends what is read, for traces. */
export interface StreamEvent {
  readonly lane: 'read' | 'repack';
  readonly name: string;
  /** On the clock of `performance.now()`. */
  readonly startMs: number;
  readonly durationMs: number;
}

/** Spans kept before they are summed up. */
const mostSpans = 512;

export class TrafficMeter {
  readonly #reads = new Spans();
  readonly #computes = new Spans();
  /** Beginnings of reads that are under way: their spans are not known yet. */
  readonly #readsUnderWay: number[] = [];
  #computingSinceMs: number | undefined;
  readonly #counts = { passes: 0, bytesRead: 0, repairedBlocks: 0, rowGroupsRead: 0 };
  #bothMs = 0;

  get traffic(): StreamTraffic {
    this.#sumUp();
    return {
      ...this.#counts,
      ...{ readMs: this.#reads.totalMs, computeMs: this.#computes.totalMs, bothMs: this.#bothMs },
    };
  }

  /** Returns what `endRead` wants back. */
  beginRead(): number {
    const nowMs = performance.now();
    this.#readsUnderWay.push(nowMs);
    return nowMs;
  }

  /** The span may be shorter than the time between the two calls: what waited in a line was not read. */
  endRead(begunMs: number, byteCount: number, startMs = begunMs, endMs = performance.now()): void {
    this.#readsUnderWay.splice(this.#readsUnderWay.indexOf(begunMs), 1);
    this.#counts.bytesRead += byteCount;
    this.#reads.add(Math.max(startMs, begunMs), endMs);
    if (this.#reads.count > mostSpans) this.#sumUp();
  }

  beginCompute(): void {
    this.#computingSinceMs = performance.now();
  }

  endCompute(): void {
    if (this.#computingSinceMs !== undefined) this.#computes.add(this.#computingSinceMs, performance.now());
    this.#computingSinceMs = undefined;
    if (this.#computes.count > mostSpans) this.#sumUp();
  }

  count(what: 'passes' | 'repairedBlocks' | 'rowGroupsRead'): void {
    this.#counts[what]++;
  }

  /** Up to where nothing more can come. */
  #sumUp(): void {
    const untilMs = Math.min(
      performance.now(),
      this.#computingSinceMs ?? Number.POSITIVE_INFINITY,
      ...this.#readsUnderWay,
    );
    const [reads, computes] = [this.#reads.take(untilMs), this.#computes.take(untilMs)];
    for (let read = 0, compute = 0; read < reads.length && compute < computes.length; ) {
      const [a, b] = [reads[read], computes[compute]];
      if (!a || !b) break;
      this.#bothMs += Math.max(0, Math.min(a.endMs, b.endMs) - Math.max(a.startMs, b.startMs));
      if (a.endMs < b.endMs) read++;
      else compute++;
    }
  }
}

interface Span {
  readonly startMs: number;
  readonly endMs: number;
}

/** Spans of time that may overlap, and the time they cover. */
class Spans {
  totalMs = 0;
  #spans: Span[] = [];

  get count(): number {
    return this.#spans.length;
  }

  add(startMs: number, endMs: number): void {
    this.#spans.push({ startMs, endMs });
  }

  /** What lies before `untilMs`, in order and without overlaps; it counts into the total and is forgotten. */
  take(untilMs: number): Span[] {
    const covered: { startMs: number; endMs: number }[] = [];
    const rest: Span[] = [];
    for (const { startMs, endMs } of this.#spans.sort((a, b) => a.startMs - b.startMs)) {
      if (endMs > untilMs) rest.push({ startMs: Math.max(startMs, untilMs), endMs });
      if (startMs >= untilMs) continue;
      const end = Math.min(endMs, untilMs);
      const last = covered.at(-1);
      if (last && startMs <= last.endMs) last.endMs = Math.max(last.endMs, end);
      else covered.push({ startMs, endMs: end });
    }
    this.#spans = rest;
    for (const { startMs, endMs } of covered) this.totalMs += endMs - startMs;
    return covered;
  }
}
