import { call } from '../api'
import { duration, fullTime, when } from '../format'
import { usePages } from '../list'
import { href, navigate, usePlace, withQuery } from '../router'
import { Badge, Button, Choice, Empty, Failure, PageHead, useEvery } from '../ui'
import type { Run } from '../types'

const states = [['', 'All'], ['running', 'Running'], ['ok', 'Done'], ['error', 'Failed'],
  ['interrupted', 'Interrupted']] as const
const kinds = ['ask', 'search', 'chat', 'embedding', 'ingest']

export function RunsPage() {
  const { query } = usePlace()
  const kind = query.get('kind') ?? ''
  const status = (query.get('status') ?? '') as (typeof states)[number][0]
  const list = usePages(async (after, signal) => {
    const r = await call('GET /api/v1/runs', { query: { kind, status, limit: 50, after }, signal })
    return { ...r, items: r.runs }
  }, [kind, status])
  useEvery(2000, list.refresh)
  const put = (name: string, value: string) =>
    navigate(withQuery({ [name]: value }), { replace: true })
  return (
    <>
      <PageHead title="Runs" sub="Everything that happened, as it happens." />
      <div class="toolbar">
        <Choice label="Status" value={status} options={states} onChange={(v) => put('status', v)} />
        <select value={kind} aria-label="Kind" onChange={(e) => put('kind', e.currentTarget.value)}>
          <option value="">Any kind</option>
          {[...new Set([...kinds, ...(kind ? [kind] : [])])].map((k) => <option key={k}>{k}</option>)}
        </select>
      </div>
      {list.error && <Failure error={list.error} retry={list.refresh} />}
      {list.items && !list.items.length && (
        <Empty title="No runs"><p>Ask a question, and how its answer came about stands here.</p></Empty>
      )}
      {list.items && list.items.length > 0 && (
        <div class="table-frame">
          <table class="rows runs-table">
            <thead><tr><th>Run</th><th>Kind</th><th>Status</th><th>Started</th>
              <th class="n">Took</th></tr></thead>
            <tbody>{list.items.map((r) => <Row key={r.id} r={r} />)}</tbody>
          </table>
        </div>
      )}
      {list.more && <p class="more"><Button onClick={list.more}>Show more</Button></p>}
    </>
  )
}

function Row({ r }: { r: Run }) {
  return (
    <tr>
      <td class="main-cell">
        <a href={href('run', { id: r.id })}>{r.name || r.kind}</a>
        {r.error && <span class="reason small">{r.error}</span>}
      </td>
      <td data-name="Kind"><Badge>{r.kind}</Badge></td>
      <td data-name="Status"><RunState status={r.status} /></td>
      <td data-name="Started" title={fullTime(r.started)}>{when(r.started)}</td>
      <td data-name="Took" class="n">{duration(r.duration_ms)}</td>
    </tr>
  )
}

export function RunState({ status }: { status: string }) {
  const word = { ok: 'done', error: 'failed' }[status] ?? status
  return <span class={`state ${status}`}><span class="dot" aria-hidden="true" />{word}</span>
}
