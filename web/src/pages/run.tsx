// A run, whatever made it: Croft itself or a program that reports OpenTelemetry spans.
import { useMemo } from 'preact/hooks'
import { call } from '../api'
import { FeedbackView } from '../feedback'
import { duration, fullTime } from '../format'
import { RunLogs } from '../logs'
import { href, navigate, usePlace, withQuery } from '../router'
import { SpanView, money, tokens } from '../span_view'
import { Badge, Facts, Failure, Note, PageHead, useEvery, useLoad } from '../ui'
import { ValueView } from '../value'
import { Waterfall } from '../waterfall'
import { RunState } from './runs'
import type { Trace } from '../types'

export function RunPage({ id }: { id: string }) {
  const { query } = usePlace()
  const { data, error, reload } = useLoad(
    (signal) => call('GET /api/v1/traces/{id}', { params: { id }, signal }), [id])
  const running = data?.trace.status === 'running'
  useEvery(1000, reload, running)
  const end = useMemo(() => data?.spans.reduce((m, s) => Math.max(m, s.start_ms + (s.duration_ms ?? 0)), 0) ?? 0, [data])
  if (error && !data) return <><PageHead title="Run" /><Failure error={error} retry={reload} /></>
  if (!data) return <PageHead title="Run" sub="Opening …" />
  const { trace, spans, feedback } = data
  const sofar = running ? Math.max(0, Date.now() - Date.parse(trace.started)) : 0
  const total = Math.max(trace.duration_ms ?? 0, sofar, end, 0.001)
  const chosen = spans.find((s) => s.id === query.get('span')) ?? null
  return (
    <>
      <p class="crumb"><a href={href('runs')}>Runs</a></p>
      <PageHead title={trace.name || trace.kind} sub={<>
        <Badge>{trace.kind}</Badge> <RunState status={trace.status} /> · {fullTime(trace.started)} ·{' '}
        {duration(trace.duration_ms)}
        {(trace.tokens_in > 0 || trace.tokens_out > 0) && <> · {tokens(trace.tokens_in, trace.tokens_out)}</>}
        {trace.cost > 0 && <> · {money(trace.cost)}</>}
      </>} />
      {trace.error && <Note kind="error" title={trace.error} />}
      <Waterfall spans={spans} total={total} chosen={chosen?.id ?? null}
        choose={(span) => navigate(withQuery({ span }), { replace: true })} />
      {chosen ? <SpanView key={chosen.id} trace={id} span={chosen} /> : <Whole trace={trace} tags={data.tags} />}
      {!chosen && data.logs > 0 && <RunLogs run={id} />}
      <FeedbackView run={id} span={chosen} list={feedback} spans={spans} reload={reload} />
    </>
  )
}

const readable = (v: unknown): string =>
  typeof v === 'number' && !Number.isInteger(v) ? String(Number(v.toPrecision(5))) : String(v)

function Whole({ trace, tags }: { trace: Trace; tags: Record<string, unknown> }) {
  const { input, output, ...rest } = trace.attributes
  const short = Object.entries(rest).filter(([, v]) => typeof v !== 'object' && String(v).length < 200)
  const long = Object.entries(rest).filter(([k]) => !short.some(([s]) => s === k))
  return (
    <section class="detail" aria-label="The run as a whole">
      <h2>The run as a whole</h2>
      {input !== undefined && <ValueView title="Input" value={input} />}
      {output !== undefined && <ValueView title="Output" value={output} />}
      <Facts rows={[
        ...short.map(([k, v]) => [k, <span class="num">{readable(v)}</span>] as [string, preact.ComponentChildren]),
        ...Object.entries(tags).map(([k, v]) => [k, String(v)] as [string, string]),
        ['Started', fullTime(trace.started)],
        ['Ended', fullTime(trace.ended)],
        ['Id', <code class="hash">{trace.id}</code>],
      ]} />
      {long.map(([k, v]) => <ValueView key={k} title={k} value={v} />)}
    </section>
  )
}
