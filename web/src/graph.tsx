// A directed graph: layers from left to right, or from top to bottom where the window is narrow.
// One node is a stop of the Tab key; the arrows go along the lines and within a layer.
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { layered, type Point } from './layers'
import { useMedia } from './ui'

export interface GraphNode {
  id: string
  /** Read out and shown; of a long one the tail stays in view. */
  label: string
  tail?: string
  sub?: ComponentChildren
  kind: string
  href?: string
  on?: boolean
  gone?: boolean
}
export interface GraphEdge { from: string; to: string; kind: string; title: string }

/** The smallest scale at which labels are read without effort. */
const READABLE = 0.7

/** Everything that leads to a node, and everything that it leads to. */
function related(id: string, edges: GraphEdge[]): Set<string> {
  const found = new Set([id])
  for (const [from, to] of [['from', 'to'], ['to', 'from']] as const) {
    const queue = [id]
    for (let n = queue.pop(); n !== undefined; n = queue.pop())
      for (const e of edges)
        if (e[from] === n && !found.has(e[to])) {
          found.add(e[to])
          queue.push(e[to])
        }
  }
  return found
}

const curve = (p: Point[], down: boolean): string => p.map((b, i) => {
  const q = (x: number, y: number) => (down ? `${y.toFixed(1)} ${x.toFixed(1)}` : `${x.toFixed(1)} ${y.toFixed(1)}`)
  if (!i) return `M${q(b.x, b.y)}`
  const a = p[i - 1]!
  const half = (a.x + b.x) / 2
  return a.y === b.y ? `L${q(b.x, b.y)}` : `C${q(half, a.y)} ${q(half, b.y)} ${q(b.x, b.y)}`
}).join('')

const tip = (b: Point, down: boolean): string =>
  down ? `M${b.y - 4} ${b.x - 7}L${b.y} ${b.x - 1}L${b.y + 4} ${b.x - 7}Z` : `M${b.x - 7} ${b.y - 4}L${b.x - 1} ${b.y}L${b.x - 7} ${b.y + 4}Z`

export function Graph({ label, nodes, edges }: { label: string; nodes: GraphNode[]; edges: GraphEdge[] }) {
  const down = useMedia('(max-width: 760px)')
  const [wide, setWide] = useState(200)
  const [fit, setFit] = useState(1)
  const size = down ? { w: 150, h: 58, gap: 44 } : { w: wide, h: 54, gap: wide < 200 ? 40 : 64 }
  const frame = useRef<HTMLDivElement>(null)
  const [focus, setFocus] = useState<string | null>(null)
  const [hover, setHover] = useState<string | null>(null)
  const layout = useMemo(() => layered(nodes.map((n) => n.id), edges.map((e) => [e.from, e.to]), {
    along: down ? size.h : size.w, within: down ? size.w : size.h,
    alongGap: down ? 44 : size.gap, withinGap: down ? 14 : 18,
  }), [nodes, edges, down, size.w])
  const width = down ? layout.height : layout.width
  const height = down ? layout.width : layout.height
  // nodes as wide as lets all layers be seen, if that is wide enough to read them; what is a little
  // wider than the frame even so is drawn smaller, much wider is scrolled
  useLayoutEffect(() => {
    const f = frame.current!
    const style = getComputedStyle(f)
    const inner = f.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)
    setWide(Math.max(150, Math.min(200, Math.floor((inner + 40) / layout.layers) - 40)))
    setFit(inner < width && inner >= width * READABLE ? inner / width : 1)
    const on = f.querySelector<HTMLElement>('.graph-node.on')
    if (on) f.scrollTo(on.offsetLeft - (f.clientWidth - on.offsetWidth) / 2, on.offsetTop - (f.clientHeight - on.offsetHeight) / 2)
  }, [layout])
  const lit = useMemo(() => {
    const id = hover ?? focus
    return id && nodes.some((n) => n.id === id) ? related(id, edges) : null
  }, [hover, focus, nodes, edges])
  const spot = (id: string): Point => {
    const p = layout.at.get(id)!
    return down ? { x: p.y, y: p.x } : p
  }
  const stop = focus ?? nodes.find((n) => n.on)?.id ?? nodes[0]?.id
  const kinds = new Map(edges.map((e) => [`${e.from}\n${e.to}`, e]))

  const nearest = (from: string, among: string[]): string | undefined => {
    const p = layout.at.get(from)!
    return among.map((id) => ({ id, d: Math.abs(layout.at.get(id)!.y - p.y) })).sort((a, b) => a.d - b.d)[0]?.id
  }
  const step = (id: string, key: string): string | undefined => {
    const [back, forth, before, after] = down
      ? ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight'] : ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown']
    const p = layout.at.get(id)!
    if (key === back) return nearest(id, edges.filter((e) => e.to === id).map((e) => e.from))
    if (key === forth) return nearest(id, edges.filter((e) => e.from === id).map((e) => e.to))
    const sign = key === before ? -1 : key === after ? 1 : 0
    const layer = nodes.map((n) => ({ id: n.id, ...layout.at.get(n.id)! }))
      .filter((n) => n.x === p.x && (n.y - p.y) * sign > 0)
    return layer.sort((a, b) => Math.abs(a.y - p.y) - Math.abs(b.y - p.y))[0]?.id
  }
  const onKey = (e: KeyboardEvent, id: string) => {
    if (!e.key.startsWith('Arrow') || e.ctrlKey || e.metaKey || e.altKey) return
    e.preventDefault()
    const to = step(id, e.key)
    if (to) frame.current?.querySelector<HTMLElement>(`[data-node="${CSS.escape(to)}"]`)?.focus()
  }
  return (
    <div class="graph" ref={frame} role="group" aria-label={label}>
      <div class="graph-field" style={{ width: `${width}px`, height: `${height}px`, zoom: String(fit) }}>
        <svg width={width} height={height} aria-hidden="true">
          {layout.lines.map((l) => {
            const e = kinds.get(`${l.from}\n${l.to}`)
            return (
              <g key={`${l.from} ${l.to}`}
                class={`${e?.kind ?? ''} ${lit ? (lit.has(l.from) && lit.has(l.to) ? 'lit' : 'out') : ''}`}>
                <title>{e?.title}</title>
                <path d={curve(l.points, down)} />
                <path class="tip" d={tip(l.points[l.points.length - 1]!, down)} />
              </g>
            )
          })}
        </svg>
        {nodes.map((n) => {
          const p = spot(n.id)
          const props = {
            key: n.id, 'data-node': n.id, tabIndex: n.id === stop ? 0 : -1,
            class: `graph-node ${n.kind} ${n.on ? 'on' : ''} ${n.gone ? 'gone' : ''} ${lit && !lit.has(n.id) ? 'out' : ''}`,
            style: { left: `${p.x}px`, top: `${p.y}px`, width: `${size.w}px`, height: `${size.h}px` },
            title: n.label + (n.tail ?? ''),
            onFocus: () => setFocus(n.id),
            onMouseEnter: () => setHover(n.id),
            onMouseLeave: () => setHover(null),
            onKeyDown: (e: KeyboardEvent) => onKey(e, n.id),
          }
          const inside = <><span class="graph-label"><span>{n.label}</span>{n.tail}</span><span class="graph-sub">{n.sub}</span></>
          return n.href ? <a {...props} href={n.href} aria-current={n.on ? 'true' : undefined}>{inside}</a>
            : <div {...props} role="note">{inside}</div>
        })}
      </div>
    </div>
  )
}
