/** A thread's scratch while it attends: byte offsets. Queries are numbered within a tile, 0…7. */

/** Queries as the cache type wants them, 1,024 bytes each. */
export const QUERIES: usize = 0;
/** Scores, then weights, of up to three pages: [8, 384]. */
export const SCORES: usize = QUERIES + 8 * 1024;
/** The block's weighted values, [8, 256], and the running result. */
export const BLOCK: usize = SCORES + 8 * 1536;
export const RESULT: usize = BLOCK + 8 * 1024;
/** Scores of one query's block, side by side, and where among SCORES they come from. */
export const COMPACT: usize = RESULT + 8 * 1024;
export const PLACES: usize = COMPACT + 512;
/** Addresses of the block's pages, and how many of their rows matter. */
export const BLOCK_PAGES: usize = PLACES + 512;
export const BLOCK_COUNTS: usize = BLOCK_PAGES + 16;
/** Per row: how many rows it sees. */
export const COUNTS: usize = BLOCK_COUNTS + 16;
/** Per query: factor of its scores, maximum and sum of the block, maximum and sum so far. */
export const FACTORS: usize = COUNTS + 32;
export const LARGEST: usize = FACTORS + 32;
export const TOTALS: usize = LARGEST + 32;
export const MAXIMA: usize = TOTALS + 32;
export const SUMS: usize = MAXIMA + 32;
/** Of one query, weights times the scales of up to eight columns of 32 values: [8, 3, 128]. */
export const PRODUCTS: usize = SUMS + 32;
/** Those of four queries in whole numbers, four to eight bytes: [8, 4, 3, 32, 8]; what one is worth: [4, 8]. */
export const CODES: usize = PRODUCTS + 8 * 1536;
export const COLUMN_SCALES: usize = CODES + 8 * 4 * 768;
