// The axes of parallel coordinates: where a value stands, from 0 to 1.

export type Value = number | string | null

export interface Axis {
  id: string
  title: string
  /** Of all lines, in their order. */
  values: Value[]
}

export interface Scale {
  kind: 'number' | 'log' | 'words'
  at: (v: Value) => number | null
  ticks: { at: number; text: string }[]
  /** The values between two places, in words. */
  between: (lo: number, hi: number) => string
}

const short = (v: number): string => {
  const a = Math.abs(v)
  return v !== 0 && (a >= 1e5 || a < 1e-3) ? v.toExponential(1).replace('.0e', 'e') : `${+v.toPrecision(3)}`
}

/** Texts that are numbers, all of them, are numbers. */
export function numeric(values: Value[]): (number | null)[] | null {
  const out = values.map((v) => (v === null || v === '' ? null : typeof v === 'number' ? v : Number(v)))
  return out.some((v) => v !== null) && out.every((v) => v === null || isFinite(v)) ? out : null
}

export function scaleOf(values: Value[]): Scale {
  const numbers = numeric(values)
  if (!numbers) {
    const words = [...new Set(values.filter((v) => v !== null).map(String))].sort()
    const place = new Map(words.map((w, i) => [w, words.length > 1 ? i / (words.length - 1) : 0.5]))
    const every = Math.ceil(words.length / 12)
    return {
      kind: 'words',
      at: (v) => (v === null ? null : place.get(String(v)) ?? null),
      ticks: words.filter((_, i) => i % every === 0).map((w) => ({ at: place.get(w)!, text: w })),
      between: (lo, hi) => words.filter((w) => place.get(w)! >= lo && place.get(w)! <= hi).join(', '),
    }
  }
  const known = numbers.filter((v): v is number => v !== null)
  const min = Math.min(...known)
  const max = Math.max(...known)
  const log = min > 0 && max / min >= 50
  const f = log ? Math.log10 : (v: number) => v
  const back = log ? (v: number) => 10 ** v : (v: number) => v
  const lo = f(min)
  const wide = f(max) - lo
  const value = (t: number) => back(lo + t * wide)
  return {
    kind: log ? 'log' : 'number',
    at: (v) => {
      const n = v === null || v === '' ? NaN : Number(v)
      return !isFinite(n) || (log && n <= 0) ? null : wide ? (f(n) - lo) / wide : 0.5
    },
    ticks: (wide ? [0, 0.25, 0.5, 0.75, 1] : [0.5]).map((t) => ({ at: t, text: short(wide ? value(t) : min) })),
    between: (a, b) => `${short(value(a))} … ${short(value(b))}`,
  }
}

export type Brush = [number, number]

/** Which lines go through all brushes. */
export function through(axes: Axis[], scales: Scale[], brushes: ReadonlyMap<string, Brush>): boolean[] {
  const n = axes[0]?.values.length ?? 0
  return Array.from({ length: n }, (_, i) => axes.every((a, k) => {
    const b = brushes.get(a.id)
    if (!b) return true
    const t = scales[k]!.at(a.values[i]!)
    return t !== null && t >= b[0] - 1e-9 && t <= b[1] + 1e-9
  }))
}
