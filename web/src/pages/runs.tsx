import { useEffect, useRef } from 'preact/hooks'
import { call, stream } from '../api'
import type { LiveEvents } from '../events'
import { Typed } from '../filters'
import { duration, fullTime, when } from '../format'
import { usePages } from '../list'
import { href, navigate, usePlace, withQuery } from '../router'
import { Badge, Button, Choice, Empty, Failure, PageHead, useEvery } from '../ui'
import type { Trace } from '../types'

const states = [['', 'All'], ['running', 'Running'], ['ok', 'Done'], ['error', 'Failed'],
  ['interrupted', 'Interrupted']] as const
const kinds = ['trace', 'ask', 'search', 'chat', 'response', 'embedding', 'ingest']

export function RunsPage() {
  const { query } = usePlace()
  const kind = query.get('kind') ?? ''
  const q = query.get('q') ?? ''
  const filter = query.get('filter') ?? ''
  const status = (query.get('status') ?? '') as (typeof states)[number][0]
  const list = usePages(async (after, signal) => {
    const r = await call('GET /api/v1/traces', { query: { q, filter, kind, status, limit: 50, after }, signal })
    return { ...r, items: r.traces }
  }, [q, filter, kind, status])
  useLive(list.refresh)
  useEvery(4000, list.refresh)
  const put = (name: string, value: string) =>
    navigate(withQuery({ [name]: value }), { replace: true })
  return (
    <>
      <PageHead title="Runs" sub="Everything that happened here, and the traces that programs report, as they happen." />
      <div class="toolbar">
        <Choice label="Status" value={status} options={states} onChange={(v) => put('status', v)} />
        <select value={kind} aria-label="Kind" onChange={(e) => put('kind', e.currentTarget.value)}>
          <option value="">Any kind</option>
          {[...new Set([...kinds, ...(kind ? [kind] : [])])].map((k) => <option key={k}>{k}</option>)}
        </select>
        <Typed label="Search" hint="Words in any span" value={q} onChange={(v) => put('q', v)} />
        <Typed label="Filter" hint="duration_ms > 500 AND span.type = 'tool'" value={filter} onChange={(v) => put('filter', v)} />
      </div>
      {list.error && <Failure error={list.error} retry={list.refresh} />}
      {list.items && !list.items.length && !list.error && (q || filter || kind || status
        ? <Empty title="Nothing like that" />
        : <Empty title="No runs">
          <p>Ask a question, or let a program report its traces:</p>
          <p><code>OTEL_EXPORTER_OTLP_ENDPOINT={location.origin}</code></p>
        </Empty>)}
      {list.items && list.items.length > 0 && (
        <div class="table-frame">
          <table class="rows runs-table">
            <thead><tr><th>Run</th><th>Kind</th><th>Status</th><th>Started</th>
              <th class="n">Tokens</th><th class="n">Took</th></tr></thead>
            <tbody>{list.items.map((r) => <Row key={r.id} r={r} />)}</tbody>
          </table>
        </div>
      )}
      {list.more && <p class="more"><Button onClick={list.more}>Show more</Button></p>}
    </>
  )
}

/** Calls fn soon after spans open or close, at most twice a second. */
function useLive(fn: () => void) {
  const latest = useRef(fn)
  latest.current = fn
  useEffect(() => {
    const stop = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const soon = () => {
      timer ??= setTimeout(() => {
        timer = undefined
        if (!document.hidden) latest.current()
      }, 500)
    }
    const watch = async () => {
      for await (const { event } of stream<LiveEvents>('GET /api/v1/traces/live', { signal: stop.signal, quiet: true }))
        if (event !== 'ready') soon()
    }
    watch().catch(() => {}) // the list is looked at again in any case
    return () => {
      stop.abort()
      clearTimeout(timer)
    }
  }, [])
}

function Row({ r }: { r: Trace }) {
  const { service, input } = r.attributes as { service?: string; input?: unknown }
  const said = typeof input === 'string' ? input : ''
  return (
    <tr>
      <td class="main-cell">
        <a href={href('run', { id: r.id })}>{r.name || r.kind}</a>
        {service && <span class="dim small"> {service}</span>}
        {r.error && <span class="reason small">{r.error}</span>}
        {!r.error && said && said !== r.name && <span class="dim small said">{said.slice(0, 160)}</span>}
      </td>
      <td data-name="Kind"><Badge>{r.kind}</Badge></td>
      <td data-name="Status"><RunState status={r.status} /></td>
      <td data-name="Started" title={fullTime(r.started)}>{when(r.started)}</td>
      <td data-name="Tokens" class="n">{r.tokens_in + r.tokens_out > 0 ? (r.tokens_in + r.tokens_out).toLocaleString('en') : ''}</td>
      <td data-name="Took" class="n">{duration(r.duration_ms)}</td>
    </tr>
  )
}

export function RunState({ status }: { status: string }) {
  const word = { ok: 'done', error: 'failed' }[status] ?? status
  return <span class={`state ${status}`}><span class="dot" aria-hidden="true" />{word}</span>
}
