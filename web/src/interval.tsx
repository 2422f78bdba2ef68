// A mean between 0 and 1 and how sure it is, as a bar and as a person reads it.
import type { Interval } from './types.gen'

export const share = (v: number): string => v.toFixed(3)

export const between = (i: Interval): string => `${share(i.mean)} (${share(i.low)} to ${share(i.high)})`

/** low: where the bar begins, for values that are all near 1. */
export function IntervalBar({ value, target, low = 0 }: { value: Interval; target?: number; low?: number }) {
  const at = (v: number) => `${(100 * Math.min(Math.max(v - low, 0), 1 - low)) / (1 - low)}%`
  return (
    <div class="interval" role="img" aria-label={between(value)} title={between(value)}>
      <div class="band" style={{ left: at(value.low), width: `calc(${at(value.high)} - ${at(value.low)})` }} />
      <div class="mean" style={{ left: at(value.mean) }} />
      {target ? <div class="target" style={{ left: at(target) }} title={`Target ${target}`} /> : null}
    </div>
  )
}
