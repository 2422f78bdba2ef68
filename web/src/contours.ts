// Lines of equal density through the points of a plane map.

const CELLS = 160, SPREAD = 3 // cells along the longer side; of the blur, in cells

/** A path of SVG for each level, in the plane's own coordinates; the first is the outermost. */
export function contours(xy: Float32Array, levels = [0.06, 0.15, 0.3, 0.5, 0.75]): string[] {
  const n = xy.length / 2
  if (n < 10) return []
  let x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity
  for (let i = 0; i < n; i++) {
    x0 = Math.min(x0, xy[2 * i]!)
    x1 = Math.max(x1, xy[2 * i]!)
    y0 = Math.min(y0, xy[2 * i + 1]!)
    y1 = Math.max(y1, xy[2 * i + 1]!)
  }
  const cell = Math.max(x1 - x0, y1 - y0) / (CELLS - 8 * SPREAD) || 1, edge = 4 * SPREAD * cell
  x0 -= edge
  y0 -= edge
  const w = Math.ceil((x1 + edge - x0) / cell) + 1, h = Math.ceil((y1 + edge - y0) / cell) + 1
  let grid: Float32Array = new Float32Array(w * h)
  for (let i = 0; i < n; i++) {
    const at = Math.floor((xy[2 * i + 1]! - y0) / cell) * w + Math.floor((xy[2 * i]! - x0) / cell)
    grid[at] = grid[at]! + 1
  }
  grid = blurred(blurred(grid, w, h, 1, w), h, w, w, 1)
  // a few dense places must not hide all others: levels are of the root
  let most = 0
  for (let i = 0; i < grid.length; i++) most = Math.max(most, grid[i] = Math.sqrt(grid[i]!))
  return levels.map((l) => path(grid, w, h, l * most, x0 + cell / 2, y0 + cell / 2, cell))
}

/** Along lines of `length` cells `step` apart, of which there are `lines`, `next` apart. */
function blurred(grid: Float32Array, length: number, lines: number, step: number, next: number): Float32Array {
  const reach = 3 * SPREAD, weights = [...Array(2 * reach + 1).keys()].map((k) => Math.exp(-((k - reach) ** 2) / (2 * SPREAD ** 2)))
  const sum = weights.reduce((a, b) => a + b), out = new Float32Array(grid.length)
  for (let l = 0; l < lines; l++)
    for (let i = 0; i < length; i++) {
      const v = grid[l * next + i * step]!
      if (!v) continue
      for (let k = Math.max(-reach, -i); k <= reach && i + k < length; k++) {
        const at = l * next + (i + k) * step
        out[at] = out[at]! + (v * weights[k + reach]!) / sum
      }
    }
  return out
}

/** Marching squares: a line through each cell that the level crosses. */
function path(grid: Float32Array, w: number, h: number, level: number, x0: number, y0: number, cell: number): string {
  const parts: string[] = []
  for (let r = 0; r + 1 < h; r++)
    for (let c = 0; c + 1 < w; c++) {
      const a = grid[r * w + c]!, b = grid[r * w + c + 1]!, d = grid[(r + 1) * w + c]!, e = grid[(r + 1) * w + c + 1]!
      const sides: [number, number][] = []
      const cross = (p: number, q: number, px: number, py: number, qx: number, qy: number) => {
        if (p > level === q > level) return
        const t = (level - p) / (q - p)
        sides.push([x0 + (c + px + t * (qx - px)) * cell, y0 + (r + py + t * (qy - py)) * cell])
      }
      cross(a, b, 0, 0, 1, 0)
      cross(b, e, 1, 0, 1, 1)
      cross(e, d, 1, 1, 0, 1)
      cross(d, a, 0, 1, 0, 0)
      for (let i = 0; i + 1 < sides.length; i += 2)
        parts.push(`M${sides[i]!.map((v) => v.toPrecision(6)).join(' ')}L${sides[i + 1]!.map((v) => v.toPrecision(6)).join(' ')}`)
    }
  return parts.join('')
}
