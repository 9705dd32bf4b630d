/** Reads the step block (layout in `backend/step-block.ts`). */
const ROW_BYTES: usize = 32;

@inline
export function rowRecord(step: usize, row: i32): usize {
  return step + (<usize>load<u32>(step, 16) << 2) + <usize>row * ROW_BYTES;
}

@inline
export function tokenOf(record: usize): i32 {
  return load<i32>(record);
}

@inline
export function positionOf(record: usize): i32 {
  return load<i32>(record, 4);
}

@inline
export function cacheRowOf(record: usize): i32 {
  return load<i32>(record, 8);
}

@inline
export function visibleOf(record: usize): i32 {
  return load<i32>(record, 12);
}

@inline
export function maskOf(record: usize): u64 {
  return <u64>load<u32>(record, 16) | (<u64>load<u32>(record, 20) << 32);
}

@inline
export function sequenceOf(record: usize): i32 {
  return load<i32>(record, 24);
}

export function sequenceRecord(step: usize, sequence: i32): usize {
  return step + (<usize>load<u32>(step, 24) << 2) + <usize>sequence * 16;
}

export function committedOf(sequence: usize): i32 {
  return load<i32>(sequence, 8);
}

/** Byte address of a cache row's block of 128 rows, as one head of a layer has it; a head's blocks of a page lie together. */
@inline
export function blockOf(step: usize, sequence: usize, cacheRow: i32, layer: usize, head: usize, blockBytes: usize): usize {
  const table = step + (<usize>load<u32>(sequence) << 2);
  const shift = load<i32>(step, 36);
  const page = <usize>load<u32>(table + (<usize>(cacheRow >> shift) << 2)) << 2;
  const blocks: usize = 1 << (shift - 7);
  const block = <usize>(cacheRow >> 7) & (blocks - 1);
  return page + layer + (head * blocks + block) * blockBytes;
}

export function selectedRow(step: usize, index: i32): i32 {
  return load<i32>(step + (<usize>load<u32>(step, 20) << 2) + (<usize>index << 2));
}
