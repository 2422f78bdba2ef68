// The curves of runs: one chart for each metric, asked for when it comes into view, and again for
// each part of the axis that is looked at.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { call } from './api'
import { LineChart, Single, type ChartProps, type Line } from './chart'
import { usePlace } from './router'
import { curveOf } from './series'
import type { TrackedRun } from './types'
import { Button, Choice, Failure, useLoad } from './ui'

type Put = (changes: Record<string, string | null>) => void
type X = ChartProps['x']

const axes = [['step', 'Step'], ['relative', 'Since start'], ['time', 'Time']] as const
const BUCKETS = 2000 // of one answer
const DRAWN = 8000 // of all curves of a chart
const FIRST = 12

/** How the curves of a page are drawn; in the address. */
interface Look { x: X; logX: boolean; logY: boolean; smooth: number; range: [number, number] | null }

function lookOf(query: URLSearchParams): Look {
  const [from, to] = (query.get('range') ?? '').split('..').map(Number)
  return {
    x: axes.find(([a]) => a === query.get('x'))?.[0] ?? 'step',
    logX: query.get('logx') === '1',
    logY: query.get('logy') === '1',
    smooth: Math.max(0, Math.min(0.99, Number(query.get('smooth')) || 0)),
    range: from !== undefined && to !== undefined && from < to ? [from, to] : null,
  }
}

export function Curves({ runs, metrics, put, colour }: {
  runs: TrackedRun[]; metrics: string[]; put: Put; colour?: (id: string) => number
}) {
  const { query } = usePlace()
  const look = lookOf(query)
  const [text, setText] = useState('')
  const [all, setAll] = useState(false)
  const [smooth, setSmooth] = useState(look.smooth)
  const found = metrics.filter((m) => m.toLowerCase().includes(text.toLowerCase()))
  const shown = all ? found : found.slice(0, FIRST)
  const zoom = (r: [number, number] | null) =>
    put({ range: r && `${look.x === 'step' ? Math.floor(r[0]) : Math.round(r[0])}..${look.x === 'step' ? Math.ceil(r[1]) : Math.round(r[1])}` })
  if (!metrics.length) return <p class="dim">These runs have no metrics.</p>
  return (
    <section class="curves" aria-label="Curves">
      <div class="toolbar">
        {metrics.length > 3 && (
          <input type="search" placeholder="Part of a metric's name" aria-label="Part of a metric's name" value={text}
            onInput={(e) => setText(e.currentTarget.value)} />
        )}
        <Choice label="Axis" value={look.x} options={axes} onChange={(x) => put({ x: x === 'step' ? null : x, range: null })} />
        <label class="check"><input type="checkbox" checked={look.logY} onChange={() => put({ logy: look.logY ? null : '1' })} /> log y</label>
        {look.x !== 'time' && (
          <label class="check"><input type="checkbox" checked={look.logX} onChange={() => put({ logx: look.logX ? null : '1' })} /> log x</label>
        )}
        <label class="check smooth">Smooth
          <input type="range" min={0} max={0.99} step={0.01} value={smooth} aria-label="Smoothing"
            onInput={(e) => setSmooth(Number(e.currentTarget.value))}
            onChange={(e) => put({ smooth: Number(e.currentTarget.value) ? e.currentTarget.value : null })} />
          <span class="num small">{smooth.toFixed(2)}</span></label>
      </div>
      <div class={`charts ${shown.length === 1 ? 'one' : ''}`}>
        {shown.map((m) => (
          <MetricChart key={m} metric={m} runs={runs} look={{ ...look, smooth }} onZoom={zoom} colour={colour} big={shown.length === 1} />
        ))}
      </div>
      {!found.length && <p class="dim">No metric is called so.</p>}
      {found.length > shown.length && (
        <p class="more"><Button onClick={() => setAll(true)}>Show all {found.length} metrics</Button></p>
      )}
    </section>
  )
}

/** Whether an element has ever come near the window. */
function useSeen(ref: { current: Element | null }): boolean {
  const [seen, setSeen] = useState(false)
  useEffect(() => {
    const watch = new IntersectionObserver(([e]) => {
      if (!e?.isIntersecting) return
      setSeen(true)
      watch.disconnect()
    }, { rootMargin: '300px' })
    watch.observe(ref.current!)
    return () => watch.disconnect()
  }, [])
  return seen
}

function MetricChart({ metric, runs, look, onZoom, colour, big }: {
  metric: string; runs: TrackedRun[]; look: Look; onZoom: ChartProps['onZoom']
  colour?: (id: string) => number; big: boolean
}) {
  const box = useRef<HTMLDivElement>(null)
  const seen = useSeen(box)
  const having = runs.filter((r) => Object.hasOwn(r.metrics, metric))
  const { x, range } = look
  const running = having.some((r) => r.status === 'running')
  const [again, setAgain] = useState(0)
  useEffect(() => {
    if (!running || !seen) return
    const timer = setInterval(() => document.hidden || setAgain((n) => n + 1), 5000)
    return () => clearInterval(timer)
  }, [running, seen])
  const { data, error, reload, loading } = useLoad(async (signal) => {
    if (!seen) return null
    // two for each pixel: more cannot be seen
    const points = Math.max(100, Math.min(BUCKETS, box.current!.clientWidth * 2, Math.floor(DRAWN / having.length)))
    return Promise.all(having.map(async (r) => {
      const start = x === 'relative' ? Date.parse(r.started ?? '') || 0 : 0
      const c = await call('GET /api/v1/runs/{id}/metrics/{key...}', { params: { id: r.id, key: metric }, signal,
        query: { points, x: x === 'step' ? 'step' : 'time',
          from: range ? Math.floor(range[0] + start) : undefined, to: range ? Math.ceil(range[1] + start) : undefined } })
      return { id: r.id, curve: curveOf(c, start), rolled: c.rolled_up }
    }))
  }, [metric, having.map((r) => r.id).join(), x, range?.join(), seen, again])
  const lines = useMemo<Line[] | null>(() => data && data.flatMap((d) => {
    const run = having.find((r) => r.id === d.id)
    return run ? [{ id: d.id, label: run.name || d.id.slice(0, 8), n: colour?.(d.id) ?? runs.indexOf(run), curve: d.curve }] : []
  }), [data, runs])
  const single = lines && !range && lines.every((l) => l.curve.x.length < 2)
  const rolled = data?.reduce((n, d) => n + d.rolled, 0) ?? 0
  return (
    <div ref={box} class="chart-box">
      {error && <Failure error={error} retry={reload} />}
      {lines && single ? <Single title={metric} lines={lines} /> : lines ? (
        <LineChart title={metric} lines={lines} range={range} onZoom={onZoom} x={x} logX={look.logX && x !== 'time'} logY={look.logY}
          smooth={look.smooth} together="curves" busy={loading} height={big ? 380 : 240} />
      ) : !error && <div class="chart-wait"><span class="chart-title">{metric}</span></div>}
      {rolled > 0 && <p class="dim small">{rolled.toLocaleString('en')} points are rolled up: their extremes, mean and last value stay</p>}
    </div>
  )
}
