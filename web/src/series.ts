// Curves as they are drawn: smoothed, on logarithmic axes, put onto one x axis.

export interface Curve {
  x: number[]
  y: (number | null)[]
  lo: (number | null)[]
  hi: (number | null)[]
}

/** A number, or nothing: JSON has no NaN. */
export const finite = (v: unknown): number | null => (typeof v === 'number' && isFinite(v) ? v : null)

/** What GET /api/v1/runs/{id}/metrics/{key} answers. */
export interface Buckets { columns: string[]; buckets: (number | null)[][] }

/** A bucket stands in the middle of its points; those at the ends reach to the end. */
export function curveOf({ columns, buckets: b }: Buckets, shift = 0): Curve {
  const [x0, x1, min, max, mean] = ['x0', 'x1', 'min', 'max', 'mean'].map((name) => columns.indexOf(name)) as [number, number, number, number, number]
  const last = b.length - 1
  return {
    x: b.map((v, i) => (i === 0 && last ? v[x0]! : i === last && last ? v[x1]! : (v[x0]! + v[x1]!) / 2) - shift),
    y: b.map((v) => v[mean]!),
    lo: b.map((v) => v[min]!),
    hi: b.map((v) => v[max]!),
  }
}

/**
 * Exponential moving average, 0 <= weight < 1, corrected for its start at zero (as Adam does: Kingma
 * and Ba 2015, section 3), so that the first points are not drawn towards zero. Gaps stay gaps.
 */
export function smoothed(y: (number | null)[], weight: number): (number | null)[] {
  if (!weight) return y
  let sum = 0
  let left = 1
  return y.map((v) => {
    if (v === null) return null
    sum = sum * weight + (1 - weight) * v
    left *= weight
    return sum / (1 - left)
  })
}

/** What a logarithmic axis can show. */
export function positive(c: Curve, x: boolean, y: boolean): Curve {
  const keep = c.x.map((v) => !x || v > 0)
  const take = <T>(v: T[]) => v.filter((_, i) => keep[i])
  const above = (v: (number | null)[]) => (y ? v.map((n) => (n !== null && n > 0 ? n : null)) : v)
  return { x: take(c.x), y: above(take(c.y)), lo: above(take(c.lo)), hi: above(take(c.hi)) }
}

/** All curves on the union of their x; undefined where a curve has no point of its own. */
export function together(curves: Curve[]): { x: number[]; at: (number | undefined)[][] } {
  const x = [...new Set(curves.flatMap((c) => c.x))].sort((a, b) => a - b)
  const place = new Map(x.map((v, i) => [v, i]))
  return {
    x,
    at: curves.map((c) => {
      const at = Array<number | undefined>(x.length).fill(undefined)
      c.x.forEach((v, i) => (at[place.get(v)!] = i))
      return at
    }),
  }
}

/** The index of the value of an ascending list that is nearest; -1 of an empty one. */
export function nearest(list: number[], v: number): number {
  let lo = 0
  let hi = list.length - 1
  while (lo < hi) {
    const mid = (lo + hi) >> 1
    if (list[mid]! < v) lo = mid + 1
    else hi = mid
  }
  return lo > 0 && v - list[lo - 1]! <= list[lo]! - v ? lo - 1 : Math.min(lo, list.length - 1)
}

/** Six digits that count: 0.000123, 1.235e-9, 12,345.7 */
export function figure(v: number | string | null | undefined): string {
  if (v === null || v === undefined) return '–'
  if (typeof v === 'string') return v
  if (v === 0) return '0'
  const a = Math.abs(v)
  if (a >= 1e7 || a < 1e-4) return v.toExponential(3).replace(/\.?0+e/, 'e')
  if (Number.isInteger(v)) return v.toLocaleString('en')
  return v.toLocaleString('en', { maximumSignificantDigits: 6 })
}
