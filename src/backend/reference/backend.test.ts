import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Bindings, StepBlock, Ticket } from '../../backend.ts';
import { known, NearfieldError } from '../../base/error.ts';
import { formatByName, type NumberFormat } from '../../format.ts';
import { GraphBuilder } from '../../graph.ts';
import { makePlan } from '../../plan.ts';
import { evaluateDim } from '../../tensor.ts';
import { openReferenceBackend } from './backend.ts';
import { Regions } from './regions.ts';
import { packedBytes, packWeight } from './weight.ts';

const f32 = formatByName('f32');
const failsWith = (code: string) => (error: unknown) =>
  error instanceof NearfieldError && error.code === code;

const readFrom = (bytes: Uint8Array) => async (offset: number, target: Uint8Array) => {
  target.set(bytes.subarray(offset, offset + target.length));
};

test('regions: zero bytes, living addresses, nothing outside', async () => {
  const backend = openReferenceBackend();
  const [a, b] = [backend.allocate(12, 'test'), backend.allocate(20, 'test')];
  assert.notEqual(a.addressWords, b.addressWords);
  assert.equal(backend.memory().regionBytes, 32);
  backend.write(a, 4, Uint8Array.of(1, 2, 3, 4));
  const bytes = new Uint8Array(12).fill(9);
  await backend.read(a, 0, bytes);
  assert.deepEqual([...bytes], [0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
  assert.throws(() => backend.write(a, 10, new Uint8Array(4)), failsWith('internal'));
  assert.throws(() => backend.write(a, -1, new Uint8Array(1)), failsWith('internal'));
  backend.release(a);
  assert.throws(() => backend.write(a, 0, new Uint8Array(1)), failsWith('internal'));
  assert.throws(() => backend.release(a), failsWith('internal'));
  assert.equal(backend.memory().regionBytes, 20);
  assert.throws(() => backend.allocate(2 ** 52, 'far too much'), failsWith('out-of-budget'));
  assert.throws(() => backend.allocate(-1, 'nothing'), failsWith('out-of-budget'));
});

test('regions: an address may lie inside one', () => {
  const regions = new Regions();
  const [first, second] = [regions.allocate(64, 'test'), regions.allocate(64, 'test')];
  assert.deepEqual(regions.at(first.addressWords), { buffer: first.buffer, offsetBytes: 0 });
  assert.deepEqual(regions.at(second.addressWords + 4), { buffer: second.buffer, offsetBytes: 16 });
  assert.throws(() => regions.at(second.addressWords + 16), failsWith('internal'));
  assert.throws(() => regions.at(0), failsWith('internal'));
});

test('regions: addresses are used again, so that they never run out', () => {
  const regions = new Regions();
  const [before, hole, after] = [16, 64, 16].map((bytes) => regions.allocate(bytes, 'test'));
  regions.release(known(hole, 'hole'));
  const inside = regions.allocate(40, 'test');
  assert.equal(inside.addressWords, hole?.addressWords);
  const beyond = regions.allocate(64, 'test');
  assert.ok(beyond.addressWords > Number(after?.addressWords));
  const empty = [regions.allocate(0, 'test'), regions.allocate(0, 'test')];
  const addresses = [before, inside, after, beyond, ...empty].map((region) => region?.addressWords);
  assert.equal(new Set(addresses).size, addresses.length);
  assert.ok(addresses.every((address) => Number(address) % 2 === 0));
});

/** Tables [rows, 256] whose row r is r + column / 256 everywhere; f32, or halves for the larger one. */
function tableBytes(format: NumberFormat, rows: number): Uint8Array {
  const values = Float64Array.from(
    { length: rows * 256 },
    (_, index) => Math.floor(index / 256) + (index % 256) / 256,
  );
  const bytes = new Uint8Array((values.length / format.blockValues) * format.blockBytes);
  format.encode?.(values, 0, bytes, 0, values.length / format.blockValues);
  return bytes;
}

test('weights: small ones are held decoded, large ones as the file has them; both read alike', async () => {
  const format = formatByName('f16');
  const pack = (rows: number) =>
    packWeight({ format, shape: [rows, 256] }, readFrom(tableBytes(format, rows)), undefined);
  const [small, large] = [await pack(1000), await pack(1030)];
  assert.equal(small.byteLength, 1000 * 256 * 8);
  assert.equal(large.byteLength, 1030 * 256 * 2);
  assert.equal(large.byteLength, packedBytes(large.type));
  assert.deepEqual(small.rows.row(7), large.rows.row(7));
  assert.equal(large.rows.row(1029)[0], 1029);
  assert.throws(() => large.rows.row(1030), RangeError);
  assert.throws(() => small.rows.row(-1), RangeError);
});

test('weights: memory is counted until they are unpacked, and all of it is let go at the end', async () => {
  const backend = openReferenceBackend();
  const type = { format: f32, shape: [9, 256] };
  const [first, second] = [
    await backend.pack(type, readFrom(tableBytes(f32, 9))),
    await backend.pack(type, readFrom(tableBytes(f32, 9))),
  ];
  assert.equal(first.byteLength, backend.describe().packedBytes(type));
  assert.equal(backend.memory().weightBytes, 2 * first.byteLength);
  backend.unpack(first);
  assert.throws(() => backend.unpack(first), failsWith('internal'));
  assert.equal(backend.memory().weightBytes, second.byteLength);
  backend.allocate(8, 'test');
  await backend.close();
  assert.deepEqual(backend.memory(), { weightBytes: 0, regionBytes: 0 });
});

test('weights: packing stops at the signal, and passes a reader’s error on', async () => {
  const backend = openReferenceBackend();
  const type = { format: f32, shape: [4, 4] };
  const abort = new AbortController();
  const reading = async () => abort.abort();
  await assert.rejects(backend.pack(type, reading, abort.signal), failsWith('aborted'));
  const broken = async () => Promise.reject(new NearfieldError('io', 'the disk is gone'));
  await assert.rejects(backend.pack(type, broken), failsWith('io'));
  assert.equal(backend.memory().weightBytes, 0);
});

/** A backend with a program of `depth` products of [256, 256] and a way to submit it over 64 rows. */
async function openProgram(depth: number) {
  const backend = openReferenceBackend();
  const builder = new GraphBuilder({ maxRows: 64, maxSelected: 1 });
  const table = builder.weight('table', f32, [256, 256]);
  let value = builder.apply({ op: 'embed' }, [table], 'x');
  for (let index = 0; index < depth; index++)
    value = builder.apply({ op: 'matmul' }, [value, table], `y${index}`);
  const graph = builder.finish(value, (selected) => selected);
  const plan = makePlan(graph, backend.describe());
  const segment = known(plan.segments[0], 'body');
  const program = backend.prepare(segment, plan);
  const block = new StepBlock({ rows: 64, selected: 1, sequences: 1, moves: 1, pages: 1, pageRows: 128 });
  block.addSequence([], 0);
  for (let row = 0; row < 64; row++) {
    block.addRow({
      token: row,
      position: row,
      cacheRow: row,
      visible: row + 1,
      maskLow: 0,
      maskHigh: 0,
      sequence: 0,
    });
  }
  const arena = backend.allocate(evaluateDim(plan.arenaBytes, [64, 1]), 'arena');
  const step = backend.allocate(block.bytes.length, 'step');
  backend.write(step, 0, block.bytes);
  const identity = Float64Array.from({ length: 256 * 256 }, (_, index) => (index % 257 === 0 ? 1 : 0));
  const bytes = new Uint8Array(256 * 256 * 4);
  f32.encode?.(identity, 0, bytes, 0, identity.length);
  const weights = [await backend.pack(table.type, readFrom(bytes))];
  const bindings: Bindings = { arena, step, weights };
  const submit = (changes: Partial<Bindings> = {}): Ticket => {
    const ticket = new Ticket();
    backend.submit(program, { ...bindings, ...changes }, [64, 1], ticket);
    return ticket;
  };
  const hidden = known(
    plan.buffers.find((buffer) => buffer.value === graph.hidden),
    'hidden',
  );
  const readHidden = async () => {
    const read = new Uint8Array(64 * 256 * 8);
    await backend.read(arena, evaluateDim(hidden.offset, [64, 1]), read);
    return new Float64Array(read.buffer);
  };
  return { backend, submit, readHidden, program, bindings, identity };
}

test('tickets finish in the order of their submits, and the event loop gets its turn between kernels', async () => {
  const { submit, readHidden, identity } = await openProgram(24);
  const order: string[] = [];
  let timerFired = 0;
  const timer = setInterval(() => timerFired++, 1);
  const tickets = ['first', 'second'].map((name) =>
    submit()
      .settled()
      ?.then(() => order.push(name)),
  );
  assert.deepEqual(order, []);
  await Promise.all(tickets);
  clearInterval(timer);
  assert.deepEqual(order, ['first', 'second']);
  assert.ok(timerFired > 0);
  assert.deepEqual(await readHidden(), identity.slice(0, 64 * 256));
});

test('a cancelled ticket rejects, whether it has begun or not, and those behind it run', async () => {
  const { submit } = await openProgram(24);
  const [running, waiting, last] = [submit(), submit(), submit()];
  waiting.cancel();
  setTimeout(() => running.cancel(), 1);
  await assert.rejects(async () => running.settled(), failsWith('aborted'));
  await assert.rejects(async () => waiting.settled(), failsWith('aborted'));
  await last.settled();
});

test('what does not fit together rejects its ticket and no other', async () => {
  const { backend, submit, program, bindings } = await openProgram(1);
  await assert.rejects(async () => submit({ weights: [] }).settled(), failsWith('internal'));
  await assert.rejects(
    async () => submit({ arena: backend.allocate(8, 'small') }).settled(),
    failsWith('internal'),
  );
  await submit().settled();
  const other = openReferenceBackend();
  assert.throws(
    () => backend.submit({ segment: program.segment, dispose() {} }, bindings, [64, 1], new Ticket()),
    failsWith('internal'),
  );
  const foreign = await other.pack({ format: f32, shape: [256, 256] }, async () => {});
  await assert.rejects(async () => submit({ weights: [foreign] }).settled(), failsWith('internal'));
});
