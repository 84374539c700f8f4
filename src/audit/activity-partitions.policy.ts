import type { ActivityPartition } from './activity-partitions.types.js';

type Span = Pick<ActivityPartition, 'from' | 'to'>;

/** Midnight, in UTC, of the first day of the month that lies so many months after the one of `date`. */
export function monthOf(date: Date, after = 0): Date {
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + after, 1));
}

export function overlaps(a: Span, b: Span): boolean {
  return a.from < b.to && b.from < a.to;
}

/** The running month and those ahead of it that no partition covers. */
export function missingMonths(partitions: readonly Span[], now: Date, ahead: number): Span[] {
  return Array.from({ length: ahead + 1 }, (_, index) => ({
    from: monthOf(now, index),
    to: monthOf(now, index + 1),
  })).filter((month) => !partitions.some((partition) => overlaps(partition, month)));
}

/** Those that lie wholly before the months that are kept, oldest first. */
export function expired<T extends Span>(partitions: readonly T[], now: Date, retentionMonths: number): T[] {
  const end = monthOf(now, -retentionMonths);
  return partitions.filter(({ to }) => to <= end).toSorted((a, b) => a.from.getTime() - b.from.getTime());
}

/** `2026_11`, or `2026_11_to_2027_01` for several months. */
export function suffixOf({ from, to }: Span): string {
  const name = (date: Date): string => date.toISOString().slice(0, 'YYYY-MM'.length).replace('-', '_');
  const last = monthOf(new Date(to.getTime() - 1));
  return name(from) === name(last) ? name(from) : `${name(from)}_to_${name(last)}`;
}
