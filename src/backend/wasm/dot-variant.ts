/**
 * The integer dot products there are kernels for. `wide` adds four products to 32 bits and takes codes of 8 bits; `narrow`
 * takes codes of 7 bits, so larger ones go in two parts; `halves` adds two products to 16 bits, and several of those before
 * they widen. All are exact. Which one suits the host shows in one product when the backend opens (`dotVariant` in
 * `assembly/index.ts`).
 */
export const dotVariants = ['wide', 'narrow', 'halves'] as const;
export type DotVariant = (typeof dotVariants)[number];

/** More than there are packed layouts. */
const variantStride = 32;

/** Number of a layout's kernel on the tape. */
export const kernelNumber = (layout: number, variant: DotVariant): number =>
  layout + dotVariants.indexOf(variant) * variantStride;
