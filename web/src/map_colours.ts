// What colours the points of a map: the cluster, or a field of the payload.

export type Rgb = [number, number, number]
export interface Group { value: number; label: string; items: number; colour: Rgb }
/** Each point's group (or its number), and what the legend says. */
export interface Colouring {
  groups: Group[]
  /** of each point: the colour */
  colour: (i: number) => Rgb
  /** of each point: the group's value; null where there are no groups */
  group: ((i: number) => number) | null
  range: [number, number] | null
}

export const NONE = -1, OTHER = -2

function hsl(h: number, s: number, l: number): Rgb {
  const f = (n: number) => {
    const k = (n + h / 30) % 12
    return Math.round(255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1))))
  }
  return [f(0), f(8), f(4)]
}

/** Neighbours in number are far in hue. */
export const categoryColour = (i: number, dark: boolean): Rgb =>
  i < 0 ? (dark ? [104, 104, 98] : [168, 165, 152])
    : hsl((i * 137.508 + 205) % 360, 0.62 - 0.12 * (i % 3 === 2 ? 1 : 0), (dark ? 0.62 : 0.42) + 0.07 * (Math.floor(i / 8) % 2))

const stops: Rgb[] = [[68, 35, 116], [49, 104, 142], [53, 163, 128], [150, 205, 70], [250, 226, 60]]
export function numberColour(t: number): Rgb {
  const x = Math.min(Math.max(t, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(x), stops.length - 2)
  return stops[i]!.map((v, k) => Math.round(v + (stops[i + 1]![k]! - v) * (x - i))) as Rgb
}

/** A loop: a call for each of millions of bytes takes seconds. */
function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64), bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}
export const floats = (base64: string): Float32Array => new Float32Array(bytesOf(base64).buffer)
export const integers = (base64: string): Int32Array => new Int32Array(bytesOf(base64).buffer)

export function byCluster(cluster: Int32Array, clusters: { number: number; size: number; label: string }[],
  noise: number, dark: boolean): Colouring {
  const groups = clusters.map((k) => ({ value: k.number, label: k.label || `Cluster ${k.number}`, items: k.size,
    colour: categoryColour(k.number, dark) }))
  if (noise) groups.push({ value: NONE, label: 'none', items: noise, colour: categoryColour(-1, dark) })
  const colours = new Map(groups.map((g) => [g.value, g.colour]))
  const grey = categoryColour(-1, dark)
  return { groups, range: null, group: (i) => cluster[i]!, colour: (i) => colours.get(cluster[i]!) ?? grey }
}

export function byField(f: { kind: 'number' | 'category'; categories: { value: string; items: number }[]; values: string },
  dark: boolean): Colouring {
  const grey = categoryColour(-1, dark)
  if (f.kind === 'number') {
    const values = floats(f.values)
    let low = Infinity, high = -Infinity
    for (const v of values) {
      if (v < low) low = v
      if (v > high) high = v
    }
    return { groups: [], group: null, range: [low, high],
      colour: (i) => (Number.isNaN(values[i]!) ? grey : numberColour((values[i]! - low) / (high - low || 1))) }
  }
  const values = integers(f.values)
  let none = 0, other = 0
  for (const v of values) {
    none += +(v === NONE)
    other += +(v === OTHER)
  }
  const groups: Group[] = f.categories.map((k, i) => ({ value: i, label: k.value, items: k.items, colour: categoryColour(i, dark) }))
  if (other) groups.push({ value: OTHER, label: 'another value', items: other, colour: grey })
  if (none) groups.push({ value: NONE, label: 'no value', items: none, colour: grey })
  const colours = groups.map((g) => g.colour)
  return { groups, range: null, group: (i) => values[i]!, colour: (i) => (values[i]! >= 0 ? colours[values[i]!]! : grey) }
}

/** How often points were hits: by the logarithm, for a few are found a thousand times. */
export function byTraffic(t: { values: string; most: number }, dark: boolean): Colouring {
  const values = floats(t.values), grey = categoryColour(-1, dark), top = Math.log1p(t.most) || 1
  return { groups: [], group: null, range: [0, t.most],
    colour: (i) => (values[i]! > 0 ? numberColour(Math.log1p(values[i]!) / top) : grey) }
}
