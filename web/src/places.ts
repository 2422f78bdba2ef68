// Where points of a map lie on the screen, which one is under the pointer, which a line encloses.

/** The plane's middle of the picture and how many pixels one of its units takes. */
export interface View { x: number; y: number; scale: number }
export interface Size { width: number; height: number }

export const toScreen = (v: View, s: Size, x: number, y: number): [number, number] =>
  [s.width / 2 + (x - v.x) * v.scale, s.height / 2 - (y - v.y) * v.scale]
export const toPlane = (v: View, s: Size, px: number, py: number): [number, number] =>
  [v.x + (px - s.width / 2) / v.scale, v.y - (py - s.height / 2) / v.scale]

/** The same place stays under the pointer. */
export function zoomed(v: View, s: Size, px: number, py: number, factor: number): View {
  const scale = Math.min(Math.max(v.scale * factor, 1e-6), 1e9)
  const [x, y] = toPlane(v, s, px, py)
  return { scale, x: x - (px - s.width / 2) / scale, y: y + (py - s.height / 2) / scale }
}

/** All points with a margin. */
export function fitted(xy: Float32Array, s: Size, margin = 24): View {
  let x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity
  for (let i = 0; i < xy.length; i += 2) {
    x0 = Math.min(x0, xy[i]!)
    x1 = Math.max(x1, xy[i]!)
    y0 = Math.min(y0, xy[i + 1]!)
    y1 = Math.max(y1, xy[i + 1]!)
  }
  if (!(x1 >= x0)) return { x: 0, y: 0, scale: 1 }
  const scale = Math.min(Math.max(s.width - 2 * margin, 1) / (x1 - x0 || 1), Math.max(s.height - 2 * margin, 1) / (y1 - y0 || 1))
  return { x: (x0 + x1) / 2, y: (y0 + y1) / 2, scale }
}

/** Points by the cell of a grid that they are in. */
export class Places {
  private readonly start: Uint32Array
  private readonly order: Uint32Array
  private readonly x0: number
  private readonly y0: number
  private readonly cell: number
  private readonly columns: number
  private readonly rows: number

  constructor(readonly xy: Float32Array) {
    const n = xy.length / 2
    const all = fitted(xy, { width: 1, height: 1 }, 0)
    const half = 0.5 / all.scale
    this.x0 = all.x - half
    this.y0 = all.y - half
    this.columns = this.rows = Math.max(1, Math.min(1024, Math.floor(Math.sqrt(n / 2))))
    this.cell = (2 * half) / this.columns
    this.start = new Uint32Array(this.columns * this.rows + 2)
    this.order = new Uint32Array(n)
    for (let i = 0; i < n; i++) this.start[this.cellOf(xy[2 * i]!, xy[2 * i + 1]!) + 2]!++
    for (let c = 2; c < this.start.length; c++) this.start[c]! += this.start[c - 1]!
    for (let i = 0; i < n; i++) this.order[this.start[this.cellOf(xy[2 * i]!, xy[2 * i + 1]!) + 1]!++] = i
  }

  private at(v: number, from: number, n: number): number {
    return Math.min(Math.max(Math.floor((v - from) / this.cell), 0), n - 1)
  }
  private cellOf(x: number, y: number): number {
    return this.at(y, this.y0, this.rows) * this.columns + this.at(x, this.x0, this.columns)
  }

  /** Those inside a rectangle of the plane. */
  *inside(x0: number, y0: number, x1: number, y1: number): Generator<number> {
    const c0 = this.at(x0, this.x0, this.columns), c1 = this.at(x1, this.x0, this.columns)
    for (let r = this.at(y0, this.y0, this.rows); r <= this.at(y1, this.y0, this.rows); r++)
      for (let k = this.start[r * this.columns + c0]!; k < this.start[r * this.columns + c1 + 1]!; k++) {
        const i = this.order[k]!, x = this.xy[2 * i]!, y = this.xy[2 * i + 1]!
        if (x >= x0 && x <= x1 && y >= y0 && y <= y1) yield i
      }
  }

  /** The nearest within a distance, or -1. */
  nearest(x: number, y: number, within: number): number {
    let best = -1, least = within * within
    for (const i of this.inside(x - within, y - within, x + within, y + within)) {
      const d = (this.xy[2 * i]! - x) ** 2 + (this.xy[2 * i + 1]! - y) ** 2
      if (d < least || (d === least && (best < 0 || i < best))) {
        best = i
        least = d
      }
    }
    return best
  }

  /** Inside a closed line: an odd number of its edges lies to the right. In the order of points. */
  enclosed(line: [number, number][]): Uint32Array {
    const xs = line.map((p) => p[0]), ys = line.map((p) => p[1])
    const found: number[] = []
    if (line.length < 3) return new Uint32Array()
    for (const i of this.inside(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys))) {
      const x = this.xy[2 * i]!, y = this.xy[2 * i + 1]!
      let odd = false
      for (let a = 0, b = line.length - 1; a < line.length; b = a++) {
        const [xa, ya] = line[a]!, [xb, yb] = line[b]!
        if (ya > y !== yb > y && x < ((xb - xa) * (y - ya)) / (yb - ya) + xa) odd = !odd
      }
      if (odd) found.push(i)
    }
    return Uint32Array.from(found).sort()
  }
}
