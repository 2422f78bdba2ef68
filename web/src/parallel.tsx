// Parallel coordinates: one line for each run, coloured by the last axis; a brush on an axis keeps the
// lines that go through it.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { scaleOf, through, type Axis, type Brush } from './axes'
import { useTheme } from './theming'
import { Button } from './ui'

const HEIGHT = 360
const TOP = 58
const FOOT = 18

/** From --cold to --warm, through the middle colour; t from 0 to 1. */
function ramp(el: Element): (t: number | null, alpha: number) => string {
  const probe = document.createElement('span')
  el.append(probe)
  const style = getComputedStyle(el)
  const stops = ['--ramp0', '--ramp1', '--ramp2'].map((name) => {
    probe.style.color = style.getPropertyValue(name)
    return getComputedStyle(probe).color.match(/[\d.]+/g)!.slice(0, 3).map(Number)
  })
  probe.style.color = style.getPropertyValue('--line-strong')
  const none = getComputedStyle(probe).color.match(/[\d.]+/g)!.slice(0, 3)
  probe.remove()
  return (t, alpha) => {
    if (t === null) return `rgba(${none.join()}, ${alpha})`
    const k = t < 0.5 ? 0 : 1
    const f = t * 2 - k
    return `rgba(${stops[k]!.map((c, i) => Math.round(c + (stops[k + 1]![i]! - c) * f)).join()}, ${alpha})`
  }
}

export function Parallel({ axes, label, onChoose }: {
  axes: Axis[]; label: string; onChoose?: (lines: number[]) => void
}) {
  const box = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const theme = useTheme()
  const [width, setWidth] = useState(0)
  const [brushes, setBrushes] = useState<ReadonlyMap<string, Brush>>(new Map())
  const scales = useMemo(() => axes.map((a) => scaleOf(a.values)), [axes])
  const kept = useMemo(() => through(axes, scales, brushes), [axes, scales, brushes])
  const inner = Math.max(width, axes.length * 110)
  const side = 62
  const x = (k: number) => (axes.length > 1 ? side + (k * (inner - 2 * side)) / (axes.length - 1) : inner / 2)
  const y = (t: number) => HEIGHT - FOOT - t * (HEIGHT - FOOT - TOP)

  useEffect(() => {
    const watch = new ResizeObserver(() => setWidth(box.current!.clientWidth))
    watch.observe(box.current!)
    setWidth(box.current!.clientWidth)
    return () => watch.disconnect()
  }, [])
  useEffect(() => {
    const c = canvas.current!
    const scale = devicePixelRatio || 1
    c.width = inner * scale
    c.height = HEIGHT * scale
    const g = c.getContext('2d')!
    g.scale(scale, scale)
    g.clearRect(0, 0, inner, HEIGHT)
    const colour = ramp(box.current!)
    const n = kept.length
    const strong = Math.max(0.25, Math.min(0.85, 40 / Math.max(1, kept.filter(Boolean).length)))
    for (const on of [false, true])
      for (let i = 0; i < n; i++) {
        if (kept[i] !== on) continue
        g.beginPath()
        let pen = false
        axes.forEach((a, k) => {
          const t = scales[k]!.at(a.values[i]!)
          if (t === null) pen = false
          else if (pen) {
            const half = (x(k - 1) + x(k)) / 2
            const before = y(scales[k - 1]!.at(axes[k - 1]!.values[i]!)!)
            g.bezierCurveTo(half, before, half, y(t), x(k), y(t))
          } else {
            g.moveTo(x(k), y(t))
            pen = true
          }
        })
        const last = axes.length - 1
        g.strokeStyle = on ? colour(scales[last]!.at(axes[last]!.values[i]!), strong) : colour(null, 0.18)
        g.lineWidth = on ? 1.6 : 1
        g.stroke()
      }
  }, [axes, scales, kept, inner, theme])

  const set = (id: string, b: Brush | null) => {
    const next = new Map(brushes)
    if (b) next.set(id, b)
    else next.delete(id)
    setBrushes(next)
  }
  const n = kept.filter(Boolean).length
  return (
    <figure class="parallel">
      <div class="parallel-scroll" ref={box}>
        <div class="parallel-field" style={{ width: `${inner}px`, height: `${HEIGHT}px` }} role="group" aria-label={label}>
          <canvas ref={canvas} style={{ width: `${inner}px`, height: `${HEIGHT}px` }} aria-hidden="true" />
          {axes.map((a, k) => (
            <AxisView key={a.id} axis={a} x={x(k)} brush={brushes.get(a.id) ?? null} scale={scales[k]!} set={(b) => set(a.id, b)} />
          ))}
        </div>
      </div>
      <figcaption>
        <span class="num" role="status">{n} of {kept.length} runs</span>
        {brushes.size > 0 && <Button kind="quiet" icon="close" onClick={() => setBrushes(new Map())}>Clear the brushes</Button>}
        {onChoose && brushes.size > 0 && n > 0 && (
          <Button onClick={() => onChoose(kept.flatMap((on, i) => (on ? [i] : [])))}>Choose these</Button>
        )}
      </figcaption>
    </figure>
  )
}

function AxisView({ axis, x, brush, scale, set }: {
  axis: Axis; x: number; brush: Brush | null; scale: ReturnType<typeof scaleOf>; set: (b: Brush | null) => void
}) {
  const from = useRef<number | null>(null)
  const tall = HEIGHT - FOOT - TOP
  const place = (e: PointerEvent) => {
    const r = (e.currentTarget as HTMLElement).getBoundingClientRect()
    return Math.max(0, Math.min(1, 1 - (e.clientY - r.top) / r.height))
  }
  const onKey = (e: KeyboardEvent) => {
    const b = brush ?? [0, 1]
    const s = 0.05
    const clamp = (v: number) => Math.max(0, Math.min(1, v))
    const next: Record<string, Brush | null> = {
      ArrowUp: e.shiftKey ? [b[0], clamp(b[1] + s)] : [clamp(Math.min(b[0] + s, b[1])), b[1]],
      ArrowDown: e.shiftKey ? [b[0], clamp(Math.max(b[1] - s, b[0]))] : [clamp(b[0] - s), b[1]],
      Delete: null, Backspace: null,
    }
    if (!(e.key in next)) return
    e.preventDefault()
    const v = next[e.key]!
    set(v && v[0] <= 0 && v[1] >= 1 ? null : v)
  }
  return (
    <div class="parallel-axis" style={{ left: `${x}px`, top: `${TOP}px`, height: `${tall}px` }}>
      <span class="parallel-title" title={axis.id}>{axis.title}{scale.kind === 'log' && <span class="dim"> log</span>}</span>
      {scale.ticks.map((t) => (
        <span key={t.text + t.at} class="parallel-tick num" style={{ bottom: `${t.at * 100}%` }}>{t.text}</span>
      ))}
      <div class="parallel-hit" tabIndex={0} role="slider" aria-label={`${axis.title}: arrow keys move the lower end, with shift the upper one`}
        aria-orientation="vertical" aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round((brush?.[0] ?? 0) * 100)}
        aria-valuetext={brush ? scale.between(brush[0], brush[1]) : 'everything'} onKeyDown={onKey}
        onPointerDown={(e) => {
          e.currentTarget.setPointerCapture(e.pointerId)
          from.current = place(e)
        }}
        onPointerMove={(e) => {
          if (from.current === null) return
          const t = place(e)
          if (Math.abs(t - from.current) > 0.02) set([Math.min(t, from.current), Math.max(t, from.current)])
        }}
        onPointerUp={(e) => {
          if (from.current !== null && Math.abs(place(e) - from.current) <= 0.02) set(null)
          from.current = null
        }} />
      {brush && <span class="parallel-brush" style={{ bottom: `${brush[0] * 100}%`, height: `${(brush[1] - brush[0]) * 100}%` }} />}
    </div>
  )
}
