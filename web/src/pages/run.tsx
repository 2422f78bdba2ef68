import { useState } from 'preact/hooks'
import { call } from '../api'
import { duration, fullTime } from '../format'
import { ValueView } from '../value'
import { href, navigate, usePlace, withQuery } from '../router'
import { Badge, Button, Facts, Failure, Note, PageHead, useEvery, useLoad } from '../ui'
import { RunState } from './runs'
import type { Run, Span } from '../types'

interface Row { span: Span; depth: number }

/** Depth first, brothers by start; spans whose parent is not there stand at the top. */
function tree(spans: Span[]): Row[] {
  const ids = new Set(spans.map((s) => s.id))
  const below = new Map<string, Span[]>()
  for (const s of [...spans].sort((a, b) => a.start_ms - b.start_ms)) {
    const parent = s.parent && ids.has(s.parent) ? s.parent : ''
    below.set(parent, [...(below.get(parent) ?? []), s])
  }
  const rows: Row[] = []
  const walk = (parent: string, depth: number) => {
    for (const span of below.get(parent) ?? []) {
      rows.push({ span, depth })
      if (depth < 100) walk(span.id, depth + 1)
    }
  }
  walk('', 0)
  return rows
}

const ROWS = 300

export function RunPage({ id }: { id: string }) {
  const { query } = usePlace()
  const { data, error, reload } = useLoad(
    (signal) => call('GET /api/v1/runs/{id}', { params: { id }, signal }), [id])
  const [all, setAll] = useState(false)
  const running = data?.run.status === 'running'
  useEvery(1000, reload, running)
  if (error && !data) return <><PageHead title="Run" /><Failure error={error} retry={reload} /></>
  if (!data) return <PageHead title="Run" sub="Opening …" />
  const { run, spans } = data
  const rows = tree(spans)
  const ends = spans.map((s) => s.start_ms + (s.duration_ms ?? 0))
  const sofar = running ? Math.max(0, Date.now() - Date.parse(run.started)) : 0
  const total = Math.max(run.duration_ms ?? 0, sofar, ...ends, 0.001)
  const chosen = spans.find((s) => s.id === query.get('span')) ?? null
  return (
    <>
      <p class="crumb"><a href={href('runs')}>Runs</a></p>
      <PageHead title={run.name || run.kind} sub={<>
        <Badge>{run.kind}</Badge> <RunState status={run.status} /> · {fullTime(run.started)} ·{' '}
        {duration(run.duration_ms)}
      </>} />
      {run.error && <Note kind="error" title={run.error} />}
      <section class="waterfall" aria-label="Spans">
        <Axis total={total} />
        <ol>
          {(all ? rows : rows.slice(0, ROWS)).map((r) => (
            <SpanRow key={r.span.id} row={r} total={total} on={r.span.id === chosen?.id} />
          ))}
        </ol>
        {!all && rows.length > ROWS && (
          <p class="more"><Button onClick={() => setAll(true)}>
            Show all {rows.length} spans
          </Button></p>
        )}
        {!rows.length && <p class="dim">This run has no spans.</p>}
      </section>
      {chosen ? <SpanDetail span={chosen} /> : <RunDetail run={run} />}
    </>
  )
}

function Axis({ total }: { total: number }) {
  return (
    <div class="axis small dim num" aria-hidden="true">
      {[0, 0.25, 0.5, 0.75, 1].map((f) => (
        <span key={f} style={{ left: `${f * 100}%` }}>{f ? duration(total * f) : '0'}</span>
      ))}
    </div>
  )
}

// The same kind has the same colour everywhere; its name stands beside it.
const hue = (kind: string) => `hue${[...kind].reduce((h, c) => (h * 31 + c.charCodeAt(0)) >>> 0, 7) % 6}`

function SpanRow({ row: { span: s, depth }, total, on }: { row: Row; total: number; on: boolean }) {
  const length = s.duration_ms ?? Math.max(0, total - s.start_ms)
  return (
    <li>
      <button type="button" class={`span ${on ? 'on' : ''} ${s.status}`} aria-pressed={on}
        onClick={() => navigate(withQuery({ span: on ? null : s.id }), { replace: true })}>
        <span class="span-name" style={{ paddingLeft: `${Math.min(depth, 12) * 14}px` }}>
          {s.name} {s.kind !== s.name && <span class="dim small">{s.kind}</span>}
          {s.error && <span class="reason small"> failed</span>}
        </span>
        <span class="span-track">
          <span class={`span-bar ${hue(s.kind)} ${s.duration_ms === null ? 'running' : ''}`} style={{
            left: `${Math.min(99.5, (s.start_ms / total) * 100)}%`,
            width: `${Math.max(0.5, (length / total) * 100)}%`,
          }} />
        </span>
        <span class="num span-ms">{duration(s.duration_ms)}</span>
      </button>
    </li>
  )
}

const readable = (v: unknown): string =>
  typeof v === 'number' && !Number.isInteger(v) ? String(Number(v.toPrecision(5))) : String(v)

function Attributes({ of }: { of: Record<string, unknown> }) {
  const { input, output, ...rest } = of
  const simple = Object.entries(rest).filter(([, v]) => typeof v !== 'object' && String(v).length < 200)
  const long = Object.entries(rest).filter(([k]) => !simple.some(([s]) => s === k))
  return (
    <>
      {input !== undefined && <ValueView title="Input" value={input} />}
      {output !== undefined && <ValueView title="Output" value={output} />}
      {simple.length > 0 && (
        <Facts rows={simple.map(([k, v]) =>
          [k, <span class="num" title={String(v)}>{readable(v)}</span>])} />
      )}
      {long.map(([k, v]) => <ValueView key={k} title={k} value={v} />)}
    </>
  )
}

function SpanDetail({ span: s }: { span: Span }) {
  return (
    <section class="detail" aria-label={`Span ${s.name}`} aria-live="polite">
      <h2>{s.name} <Badge>{s.kind}</Badge></h2>
      <p class="dim num">
        from {duration(s.start_ms)} to {s.duration_ms === null ? 'now' : duration(s.start_ms + s.duration_ms)},
        {' '}{duration(s.duration_ms)} · {s.status}
      </p>
      {s.error && <Note kind="error" title={s.error} />}
      <Attributes of={s.attributes} />
    </section>
  )
}

function RunDetail({ run }: { run: Run }) {
  return (
    <section class="detail" aria-label="The run as a whole">
      <h2>The run as a whole</h2>
      <Attributes of={run.attributes} />
      <Facts rows={[
        ['Started', fullTime(run.started)],
        ['Ended', fullTime(run.ended)],
        ['Id', <code class="hash">{run.id}</code>],
      ]} />
    </section>
  )
}
