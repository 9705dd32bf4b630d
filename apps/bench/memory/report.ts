import type { MeasuredMemory } from './results.ts';
export function ablationTable(measured: MeasuredMemory): string {
  return JSON.stringify(
    measured.measured.map(({ name, tally, peakBytes, heldBytes, residentLayers, bytesPerPass }) => ({
      name,
      tps: (1000 * tally.tokens) / tally.ms,
      perPass: tally.tokens / tally.passes,
      tree: tally.proposed / tally.verifications,
      draftMsPerPass: tally.draftMs / tally.passes,
      draftPasses: tally.draftPasses / tally.passes,
      msPerPass: tally.ms / tally.passes,
      rate: tally.bytesRead / tally.readMs / 1e6,
      read: tally.readMs / tally.passes,
      compute: tally.computeMs / tally.passes,
      both: tally.bothMs / tally.passes,
      kept: tally.provisionalKept,
      dropped: tally.provisionalDropped,
      peakBytes,
      heldBytes,
      residentLayers,
      bytesPerPass,
    })),
    null,
    1,
  );
}
export function memoryReport(measured: MeasuredMemory): string {
  return `agreement ${measured.agreement} ${measured.remarks.join('; ')}`;
}
