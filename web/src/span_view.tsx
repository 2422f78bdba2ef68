// One span with all that it holds: messages, documents, a tool's call, input and output, events,
// links, attributes. The server has brought all conventions into one form (src/run/trace_view.c).
import { call } from './api'
import { duration } from './format'
import { LogLines } from './logs'
import { href } from './router'
import { Badge, Facts, Failure, Note, useLoad } from './ui'
import { ValueView } from './value'
import type { TraceMessage, TraceSpan, TraceSpanDetail } from './types'

export function SpanView({ trace, span }: { trace: string; span: TraceSpan }) {
  const { data, error, reload } = useLoad((signal) => call('GET /api/v1/traces/{id}/spans/{span}',
    { params: { id: trace, span: span.id }, signal }), [trace, span.id, span.status])
  const s = data?.id === span.id ? data : null
  return (
    <section class="detail" aria-label={`Span ${span.name}`} aria-live="polite">
      <h2>{span.name} <Badge>{span.kind}</Badge></h2>
      <p class="dim num">
        from {duration(span.start_ms)} to{' '}
        {span.duration_ms === null ? 'now' : duration(span.start_ms + span.duration_ms)},
        {' '}{duration(span.duration_ms)} · {span.status}
        {span.model && <> · {span.model}</>}
        {(span.tokens_in > 0 || span.tokens_out > 0) && <> · {tokens(span.tokens_in, span.tokens_out)}</>}
        {span.cost > 0 && <> · {money(span.cost)}</>}
      </p>
      {span.error && <Note kind="error" title={span.error} />}
      {error && !s && <Failure error={error} retry={reload} />}
      {s && <Content s={s} />}
    </section>
  )
}

export const tokens = (into: number, out: number): string =>
  `${into.toLocaleString('en')} → ${out.toLocaleString('en')} tokens`
export const money = (usd: number): string => `$${usd < 0.01 ? usd.toPrecision(2) : usd.toFixed(2)}`

function Content({ s }: { s: TraceSpanDetail }) {
  const v = s.view
  const talked = !!(v.messages_in || v.messages_out)
  return (
    <>
      {v.tool && <Tool tool={v.tool} />}
      {v.messages_in && <Messages title="Messages in" list={v.messages_in} />}
      {v.messages_out && <Messages title="Messages out" list={v.messages_out} />}
      {!talked && !v.tool && v.input !== undefined && <ValueView title="Input" value={v.input} />}
      {v.documents && <Documents list={v.documents} />}
      {!talked && !v.tool && !v.documents && v.output !== undefined && (
        <ValueView title="Output" value={v.output} />
      )}
      {s.event_list.length > 0 && <Events s={s} />}
      {s.logs.length > 0 && <Logs s={s} />}
      {s.links.length > 0 && <Links s={s} />}
      <Attributes of={s.attributes} />
      <Source s={s} />
    </>
  )
}

// ---- messages

function Messages({ title, list }: { title: string; list: TraceMessage[] }) {
  return (
    <div class="talk" role="group" aria-label={title}>
      <h3>{title}</h3>
      {list.map((m, i) => (
        <div key={i} class={`message ${m.role}`}>
          <p class="role">{m.role}{m.finish && <span class="dim"> · {m.finish}</span>}</p>
          {m.parts.map((p, k) => <Part key={k} p={p} />)}
          {!m.parts.length && <p class="dim">(nothing)</p>}
        </div>
      ))}
    </div>
  )
}

function Part({ p }: { p: Record<string, unknown> }) {
  if (p['type'] === 'text') return <Text text={String(p['text'])} />
  if (p['type'] === 'reasoning')
    return <details class="reasoning"><summary class="dim">Reasoning</summary><Text text={String(p['text'])} /></details>
  if (p['type'] === 'tool_call')
    return <div class="call"><p><code>{String(p['name'] ?? '?')}</code> <span class="dim small">is called{p['id'] ? `, ${p['id']}` : ''}</span></p><Json v={p['arguments']} /></div>
  if (p['type'] === 'tool_result')
    return <div class="call"><p class="dim small">result{p['id'] ? ` of ${p['id']}` : ''}</p><Json v={p['result']} /></div>
  return <div class="call"><p class="dim small">{String(p['type'])}</p><Json v={p['value']} /></div>
}

const LONG = 1500

function Text({ text }: { text: string }) {
  if (text.length <= LONG) return <p class="words">{text}</p>
  return (
    <details class="long">
      <summary><span class="words">{text.slice(0, 600)}…</span> <span class="dim">show all {text.length.toLocaleString('en')} characters</span></summary>
      <p class="words">{text}</p>
    </details>
  )
}

function Json({ v }: { v: unknown }) {
  if (v === undefined) return null
  const text = typeof v === 'string' ? v : JSON.stringify(v, null, 2)
  return <pre tabIndex={0}>{text}</pre>
}

// ---- documents, tools

function Documents({ list }: { list: Record<string, unknown>[] }) {
  return (
    <div class="talk" role="group" aria-label="Documents">
      <h3>Documents</h3>
      <ol class="found">
        {list.map((d, i) => (
          <li key={i}>
            <p class="role">
              {d['id'] !== undefined ? String(d['id']) : `document ${i + 1}`}
              {typeof d['score'] === 'number' && <span class="dim num"> · {d['score'].toPrecision(3)}</span>}
            </p>
            {d['text'] !== undefined && <Text text={typeof d['text'] === 'string' ? d['text'] : JSON.stringify(d['text'])} />}
            {d['metadata'] !== undefined && <code class="small dim">{JSON.stringify(d['metadata'])}</code>}
          </li>
        ))}
      </ol>
    </div>
  )
}

function Tool({ tool }: { tool: Record<string, unknown> }) {
  return (
    <div class="talk" role="group" aria-label="Tool">
      <h3>Tool {tool['name'] !== undefined && <code>{String(tool['name'])}</code>}</h3>
      {tool['description'] !== undefined && <p class="dim">{String(tool['description'])}</p>}
      <div class="call"><p class="dim small">arguments</p><Json v={tool['arguments'] ?? null} /></div>
      <div class="call"><p class="dim small">result</p><Json v={tool['result'] ?? null} /></div>
    </div>
  )
}

// ---- the rest

function Events({ s }: { s: TraceSpanDetail }) {
  return (
    <details class="value" open={s.event_list.length <= 5}>
      <summary>Events ({s.event_list.length})</summary>
      <div class="value-body">
        {s.event_list.map((e, i) => (
          <div key={i} class="event">
            <p><span class="num dim">{duration(Math.max(0, e.at_ms))}</span> <strong>{e.name}</strong></p>
            {Object.entries(e.attributes).map(([k, v]) => (
              <div key={k} class="call"><p class="dim small">{k}</p><Json v={v} /></div>
            ))}
          </div>
        ))}
      </div>
    </details>
  )
}

function Logs({ s }: { s: TraceSpanDetail }) {
  return (
    <details class="value" open={s.logs.length <= 20}>
      <summary>Logs ({s.logs.length}{s.more_logs && ' and more'})</summary>
      <div class="value-body"><LogLines list={s.logs} /></div>
    </details>
  )
}

function Links({ s }: { s: TraceSpanDetail }) {
  return (
    <details class="value" open>
      <summary>Links ({s.links.length})</summary>
      <div class="value-body">
        {s.links.map((l, i) => (
          <p key={i}>
            <a href={href('run', { id: l.trace }, { span: l.span })}><code class="hash">{l.trace}</code></a>{' '}
            {Object.keys(l.attributes).length > 0 && <code class="small dim">{JSON.stringify(l.attributes)}</code>}
          </p>
        ))}
      </div>
    </details>
  )
}

function Attributes({ of }: { of: Record<string, unknown> }) {
  const all = Object.entries(of)
  if (!all.length) return null
  const short = all.filter(([, v]) => typeof v !== 'object' && String(v).length < 120)
  const long = all.filter((e) => !short.includes(e))
  return (
    <details class="value" open={short.length <= 14}>
      <summary>Attributes ({all.length})</summary>
      <div class="value-body">
        {short.length > 0 && <Facts rows={short.map(([k, v]) => [k, <span class="num">{String(v)}</span>])} />}
        {long.map(([k, v]) => (
          <details key={k} class="inner"><summary><code>{k}</code></summary><Json v={v} /></details>
        ))}
      </div>
    </details>
  )
}

function Source({ s }: { s: TraceSpanDetail }) {
  const rows: [string, string][] = Object.entries(s.resource).map(([k, v]) =>
    [k, typeof v === 'string' ? v : JSON.stringify(v)])
  if (s.scope.name) rows.unshift(['scope', `${s.scope.name} ${s.scope.version}`])
  if (s.trace_state) rows.push(['trace state', s.trace_state])
  const lost = s.dropped.attributes + s.dropped.events + s.dropped.links
  return (
    <>
      {lost > 0 && (
        <Note kind="warn" title="The program that sent this span left something out:">
          {' '}{s.dropped.attributes} attributes, {s.dropped.events} events, {s.dropped.links} links.
        </Note>
      )}
      {rows.length > 0 && (
        <details class="value">
          <summary>Where it came from</summary>
          <div class="value-body"><Facts rows={rows} /></div>
        </details>
      )}
    </>
  )
}
