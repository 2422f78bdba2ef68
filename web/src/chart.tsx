// Line charts: many curves with their bands, a crosshair that says the values, zoom that asks again.
import uPlot from 'uplot'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { figure, nearest, positive, smoothed, together, type Curve } from './series'
import { useTheme } from './theming'
import { Button } from './ui'

export interface Line {
  id: string
  label: string
  /** Which colour and which dashes. */
  n: number
  curve: Curve
}

export interface ChartProps {
  title: string
  lines: Line[]
  /** What is shown of the x axis; null: all. */
  range: [number, number] | null
  onZoom: (range: [number, number] | null) => void
  x: 'step' | 'time' | 'relative'
  logX?: boolean
  logY?: boolean
  smooth?: number
  height?: number
  /** Charts of one page share the crosshair. */
  together?: string
  busy?: boolean
}

export const COLOURS = 10
const BANDS = 6 // beyond so many curves the bands only hide one another
const dashes = [[], [7, 4], [2, 3], [10, 3, 2, 3]]

const palette = (el: Element): ((name: string) => string) => {
  const style = getComputedStyle(el)
  const probe = document.createElement('span')
  el.append(probe)
  const colours = new Map<string, string>()
  return (name) => {
    if (!colours.has(name)) {
      probe.style.color = style.getPropertyValue(name)
      colours.set(name, getComputedStyle(probe).color)
    }
    return colours.get(name)!
  }
}
const faint = (rgb: string, alpha: number) => rgb.replace(/^rgb\(([^)]+)\)$/, `rgba($1, ${alpha})`)

function shortDuration(s: number): string {
  if (s < 60) return `${+s.toFixed(2)} s`
  if (s < 3600) return `${+(s / 60).toFixed(1)} min`
  return `${+(s / 3600).toFixed(2)} h`
}

export const xText = (v: number, x: ChartProps['x']): string =>
  x === 'time' ? new Date(v).toLocaleString('en-GB') : x === 'relative' ? shortDuration(v / 1000) : `step ${Math.round(v).toLocaleString('en')}`

/** The curves that are drawn: those that log axes can show, smoothed. */
function prepared(p: ChartProps): Curve[] {
  return p.lines.map((l) => {
    const c = positive(l.curve, !!p.logX, !!p.logY)
    return p.smooth ? { ...c, y: smoothed(c.y, p.smooth) } : c
  })
}

interface Drawn { data: uPlot.AlignedData; curves: Curve[]; bands: boolean }

function dataOf(curves: Curve[], bands: boolean): Drawn {
  const { x, at } = together(curves)
  const columns: (number | null | undefined)[][] = []
  const take = (v: (number | null)[], of: (number | undefined)[]) => of.map((i) => (i === undefined ? undefined : v[i]))
  curves.forEach((c, k) => {
    columns.push(take(c.y, at[k]!))
    if (bands) columns.push(take(c.hi, at[k]!), take(c.lo, at[k]!))
  })
  return { data: [x, ...columns] as uPlot.AlignedData, curves, bands }
}

export function LineChart(p: ChartProps) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const theme = useTheme()
  const [cursor, setCursor] = useState<number | null>(null)
  const drawn = useMemo(() => {
    const curves = prepared(p)
    const wide = curves.some((c) => c.hi.some((v, i) => v !== c.lo[i]))
    return dataOf(curves, wide && curves.length <= BANDS)
  }, [p.lines, p.smooth, p.logX, p.logY])
  const latest = useRef(p)
  latest.current = p
  const height = p.height ?? 260

  // what the plot is made of; new points alone need no new plot
  const shape = JSON.stringify([p.lines.map((l) => [l.id, l.n]), drawn.bands, p.logX, p.logY, p.x, theme, height, p.together])
  useEffect(() => {
    const el = box.current!
    const colour = palette(el)
    const ink = colour('--dim')
    const grid = { stroke: colour('--line'), width: 1 }
    const font = `12px ${getComputedStyle(el).fontFamily}`
    const series: uPlot.Series[] = [{}]
    const bandsOf: uPlot.Band[] = []
    p.lines.forEach((l) => {
      const stroke = colour(`--s${l.n % COLOURS}`)
      const shared = { spanGaps: true, points: { show: false }, pxAlign: 0 }
      const few = l.curve.x.length <= 40
      series.push({ ...shared, stroke, width: 1.8, dash: dashes[Math.floor(l.n / COLOURS) % dashes.length],
        points: { show: few, size: 5, fill: stroke } })
      if (!drawn.bands) return
      // a thin line too: a band of one point's width is hardly seen
      const edge = { ...shared, stroke: faint(stroke, 0.3), width: 0.7 }
      series.push(edge, { ...edge })
      bandsOf.push({ series: [series.length - 2, series.length - 1], fill: faint(stroke, 0.18) })
    })
    let frame = 0
    const u = new uPlot({
      width: el.clientWidth, height, series, bands: bandsOf, ms: 1, legend: { show: false }, padding: [8, 18, 0, 0],
      cursor: {
        drag: { x: true, y: false, setScale: false },
        points: { show: false },
        sync: p.together ? { key: p.together, setSeries: false } : undefined,
      },
      scales: {
        x: { time: p.x === 'time', distr: p.logX ? 3 : 1, range: (_, lo, hi) => {
          const r = latest.current.range
          if (r && (!latest.current.logX || r[0] > 0)) return r
          return lo === hi || lo === null ? [(lo ?? 0) - 1, (hi ?? 0) + 1] : [lo, hi]
        } },
        y: { distr: p.logY ? 3 : 1 },
      },
      axes: [
        { stroke: ink, grid, ticks: grid, font, size: p.x === 'time' ? 46 : 32, values: p.x === 'relative' ? (_, v) => v.map((t) => shortDuration(t / 1000))
          : p.x === 'step' ? (_, v) => v.map((t) => (t === null ? '' : Math.abs(t) >= 1e6 ? `${+(t / 1e6).toFixed(3)}M` : Math.abs(t) >= 1e4 ? `${+(t / 1e3).toFixed(2)}k` : `${+t.toFixed(2)}`)) : undefined },
        { stroke: ink, grid, ticks: grid, font, size: (_, v) => Math.max(64, 18 + 7.5 * Math.max(0, ...(v ?? []).map((t) => t.length))), values: (_, v) => v.map((t) => (t === null ? '' : figure(t))) },
      ],
      hooks: {
        setCursor: [(self) => {
          cancelAnimationFrame(frame)
          frame = requestAnimationFrame(() => {
            const left = self.cursor.left ?? -1
            setCursor(left < 0 ? null : self.posToVal(left, 'x'))
          })
        }],
        setSelect: [(self) => {
          if (self.select.width < 4) return
          const from = self.posToVal(self.select.left, 'x')
          const to = self.posToVal(self.select.left + self.select.width, 'x')
          self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
          latest.current.onZoom([from, to])
        }],
        ready: [(self) => self.over.addEventListener('dblclick', () => latest.current.onZoom(null))],
      },
    }, drawn.data, el)
    plot.current = u
    const watch = new ResizeObserver(() => el.clientWidth && u.setSize({ width: el.clientWidth, height }))
    watch.observe(el)
    return () => {
      cancelAnimationFrame(frame)
      watch.disconnect()
      u.destroy()
      plot.current = null
      el.querySelectorAll(':scope > span').forEach((s) => s.remove())
    }
  }, [shape])

  const range = p.range ? p.range.join() : ''
  useEffect(() => {
    plot.current?.setData(drawn.data)
  }, [drawn, range])

  const onKey = (e: KeyboardEvent) => {
    const u = plot.current
    if (!u || e.ctrlKey || e.metaKey || e.altKey) return
    const { min, max } = u.scales['x']!
    const lo = min!
    const hi = max!
    const by = (from: number, to: number): [number, number] => [lo + (hi - lo) * from, lo + (hi - lo) * to]
    const to = { '+': by(0.25, 0.75), '=': by(0.25, 0.75), '-': by(-0.5, 1.5), ArrowLeft: by(-0.25, 0.75), ArrowRight: by(0.25, 1.25) }[e.key]
    if (to || e.key === '0') {
      e.preventDefault()
      p.onZoom(to ?? null)
    }
  }
  return (
    <figure class={`chart ${p.busy ? 'busy' : ''}`}>
      <figcaption>
        <span class="chart-title">{p.title}</span>
        <span class="small dim num">{cursor === null ? '' : xText(cursor, p.x)}</span>
        {p.range && <Button kind="quiet" icon="retry" onClick={() => p.onZoom(null)}>All</Button>}
      </figcaption>
      <div class="chart-plot" ref={box} tabIndex={0} role="img" onKeyDown={onKey} data-points={drawn.data[0].length}
        aria-label={`${p.title}: ${p.lines.map((l) => `${l.label}, ends at ${figure(l.curve.y[l.curve.y.length - 1] ?? null)}`).join('; ')}. Keys: plus and minus zoom, arrows move, 0 shows all.`} />
      <Legend lines={p.lines} curves={drawn.curves} cursor={cursor} />
    </figure>
  )
}

/** A metric of which nobody has more than one point: its values, and no plot of a dot. */
export function Single({ title, lines }: { title: string; lines: Line[] }) {
  return (
    <figure class="chart single">
      <figcaption><span class="chart-title">{title}</span><span class="small dim">one point</span></figcaption>
      <Legend lines={lines} curves={lines.map((l) => l.curve)} cursor={null} />
    </figure>
  )
}

function Legend({ lines, curves, cursor }: { lines: Line[]; curves: Curve[]; cursor: number | null }) {
  return (
    <ul class="chart-legend">
      {lines.map((l, k) => {
        const c = curves[k]!
        const i = cursor === null ? c.x.length - 1 : nearest(c.x, cursor)
        const lo = c.lo[i]
        const hi = c.hi[i]
        return (
          <li key={l.id}>
            <Swatch n={l.n} />
            <span class="legend-name">{l.label}</span>
            <span class="num">{figure(c.y[i] ?? null)}
              {lo !== undefined && lo !== null && hi !== undefined && hi !== null && lo !== hi && (
                <span class="dim"> {figure(lo)} … {figure(hi)}</span>
              )}</span>
          </li>
        )
      })}
    </ul>
  )
}

export function Swatch({ n }: { n: number }) {
  const dash = dashes[Math.floor(n / COLOURS) % dashes.length]!
  return (
    <svg class="swatch" viewBox="0 0 22 8" aria-hidden="true">
      <path d="M1 4h20" class={`s${n % COLOURS}`} stroke-dasharray={dash.join(' ') || undefined} />
    </svg>
  )
}
