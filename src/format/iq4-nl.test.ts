import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bytesWith,
  checkDecode,
  checkEncode,
  checkRoundTrip,
  largestMagnitude,
  valuesWith,
} from '../../test/fixture/format-case.ts';
import { iq4Levels, nearestIq4Code } from './iq4-levels.ts';
import { iq4_nl } from './iq4-nl.ts';

// Scale 0.5 (0x3800); code 8 (level 1) everywhere but: value 0 code 0, 16 code 15, 15 code 7, 31 code 9.
const bytes = bytesWith(18, { 1: 0x38, 2: 0xf0, 17: 0x97 });
bytes.fill(0x88, 3, 17);
const values = valuesWith(32, 0.5, { 0: -63.5, 16: 56.5, 15: -5, 31: 6.5 });

test('iq4_nl known block', () => {
  checkDecode(iq4_nl, bytes, values);
  checkEncode(iq4_nl, values, bytes);
});

test('iq4_nl has every level at its place', () => {
  // Scale 1. Value j has code j, value j + 16 code 15 - j.
  const codes = Array.from({ length: 16 }, (_, j) => j | ((15 - j) << 4));
  const levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
  checkDecode(iq4_nl, Uint8Array.of(0, 0x3c, ...codes), [...levels, ...levels.toReversed()]);
});

test('the nearest of the sixteen levels', () => {
  for (let value = -140; value <= 140; value += 0.25) {
    const code = nearestIq4Code(value);
    const distances = Array.from(iq4Levels, (level) => Math.abs(level - value));
    assert.equal(distances[code], Math.min(...distances), `${value}`);
  }
});

test('iq4_nl round trip', () => {
  checkRoundTrip(iq4_nl, (block) => largestMagnitude(block) * (14 / 127 + 2 ** -11), 0.09);
});
