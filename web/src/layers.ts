// Where the nodes of a directed graph stand: in layers, each node behind everything that leads to
// it, brothers ordered so that few lines cross, and every node as near to its neighbours as its
// layer lets it. (Sugiyama, Tagawa and Toda 1981; the last step is a least-squares fit under the
// distances that must be kept, by pooling neighbours that collide.)

export interface LayerOptions {
  /** Along the layers, and within one: the size of a node and the room between two. */
  along: number
  within: number
  alongGap: number
  withinGap: number
}

export interface Point { x: number; y: number }
export interface Layout {
  /** The upper left corner of each node; x grows along the layers. */
  at: Map<string, Point>
  lines: { from: string; to: string; points: Point[] }[]
  layers: number
  width: number
  height: number
}

interface Spot { id: string; dummy: boolean; up: Spot[]; down: Spot[]; layer: number; order: number; y: number }

/** Edges without those that close a circle, found depth first. */
function withoutCircles(ids: string[], edges: [string, string][]): [string, string][] {
  const out = new Map<string, string[]>(ids.map((id) => [id, []]))
  for (const [a, b] of edges) if (a !== b && out.has(b)) out.get(a)?.push(b)
  const state = new Map<string, 1 | 2>()
  const kept: [string, string][] = []
  for (const root of ids) {
    if (state.has(root)) continue
    state.set(root, 1)
    const stack: [string, number][] = [[root, 0]]
    while (stack.length) {
      const top = stack[stack.length - 1]!
      const next = out.get(top[0])![top[1]++]
      if (next === undefined) {
        state.set(top[0], 2)
        stack.pop()
      } else if (state.get(next) !== 1) {
        kept.push([top[0], next])
        if (!state.has(next)) {
          state.set(next, 1)
          stack.push([next, 0])
        }
      }
    }
  }
  return kept
}

/** Each node one behind the last of those that lead to it; sources stand just before their use. */
function layersOf(ids: string[], edges: [string, string][]): Map<string, number> {
  const layer = new Map(ids.map((id) => [id, 0]))
  const waits = new Map(ids.map((id) => [id, 0]))
  for (const [, b] of edges) waits.set(b, waits.get(b)! + 1)
  const ready = ids.filter((id) => !waits.get(id))
  for (let i = 0; i < ready.length; i++)
    for (const [a, b] of edges)
      if (a === ready[i]) {
        layer.set(b, Math.max(layer.get(b)!, layer.get(a)! + 1))
        waits.set(b, waits.get(b)! - 1)
        if (!waits.get(b)) ready.push(b)
      }
  const isTarget = new Set(edges.map(([, b]) => b))
  for (const id of ids) {
    const next = edges.filter(([a]) => a === id).map(([, b]) => layer.get(b)!)
    if (!isTarget.has(id) && next.length) layer.set(id, Math.min(...next) - 1)
  }
  return layer
}

const mean = (v: number[]): number => v.reduce((s, x) => s + x, 0) / v.length

/** The places nearest to those wished for that keep their order and the distance `gap`. */
export function spread(wish: number[], gap: number): number[] {
  const blocks: { sum: number; n: number }[] = []
  wish.forEach((w, i) => {
    blocks.push({ sum: w - i * gap, n: 1 })
    while (blocks.length > 1) {
      const b = blocks[blocks.length - 1]!
      const a = blocks[blocks.length - 2]!
      if (a.sum / a.n <= b.sum / b.n) break
      blocks.splice(-2, 2, { sum: a.sum + b.sum, n: a.n + b.n })
    }
  })
  return blocks.flatMap((b) => Array<number>(b.n).fill(b.sum / b.n)).map((y, i) => y + i * gap)
}

function order(rows: Spot[][]): void {
  for (let sweep = 0; sweep < 12; sweep++) {
    const forth = sweep % 2 === 0
    for (const row of forth ? rows : [...rows].reverse()) {
      const heart = new Map(row.map((s) => {
        const near = forth ? s.up : s.down
        return [s, near.length ? mean(near.map((n) => n.order)) : s.order]
      }))
      row.sort((a, b) => heart.get(a)! - heart.get(b)! || a.order - b.order)
      row.forEach((s, i) => (s.order = i))
    }
  }
}

function place(rows: Spot[][], gap: number): void {
  for (const row of rows) row.forEach((s, i) => (s.y = i * gap))
  for (let sweep = 0; sweep < 16; sweep++)
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      const wish = row.map((s) => {
        const near = [...s.up, ...s.down]
        return near.length ? mean(near.map((n) => n.y)) : s.y
      })
      spread(wish, gap).forEach((y, i) => (row[i]!.y = y))
    }
}

export function layered(ids: string[], edges: [string, string][], o: LayerOptions): Layout {
  const forward = withoutCircles(ids, edges)
  const layer = layersOf(ids, forward)
  const rows: Spot[][] = []
  const spot = (id: string, l: number, dummy = false): Spot => {
    const row = (rows[l] ??= [])
    const s = { id, dummy, up: [], down: [], layer: l, order: row.length, y: 0 }
    row.push(s)
    return s
  }
  const spots = new Map(ids.map((id) => [id, spot(id, layer.get(id)!)]))
  for (let l = 0; l < rows.length; l++) rows[l] ??= []
  // a line over several layers goes through one spot in each
  const ways = forward.map(([a, b]) => {
    const way = [spots.get(a)!]
    for (let l = layer.get(a)! + 1; l < layer.get(b)!; l++) way.push(spot(`${a} ${b} ${l}`, l, true))
    way.push(spots.get(b)!)
    way.slice(1).forEach((s, i) => {
      way[i]!.down.push(s)
      s.up.push(way[i]!)
    })
    return way
  })
  order(rows)
  place(rows, o.within + o.withinGap)
  const all = rows.flat()
  const top = all.length ? Math.min(...all.map((s) => s.y)) : 0
  const x = (s: Spot) => s.layer * (o.along + o.alongGap)
  const y = (s: Spot) => s.y - top
  return {
    at: new Map(ids.map((id) => [id, { x: x(spots.get(id)!), y: y(spots.get(id)!) }])),
    lines: ways.map((way) => ({
      from: way[0]!.id,
      to: way[way.length - 1]!.id,
      points: way.flatMap((s, i) => {
        const middle = y(s) + o.within / 2
        const ends = { in: { x: x(s), y: middle }, out: { x: x(s) + o.along, y: middle } }
        return i === 0 ? [ends.out] : i === way.length - 1 ? [ends.in] : [ends.in, ends.out]
      }),
    })),
    layers: rows.length,
    width: rows.length * (o.along + o.alongGap) - o.alongGap,
    height: Math.max(0, ...all.map((s) => y(s) + o.within)),
  }
}
