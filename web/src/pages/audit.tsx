import { useState } from 'preact/hooks'
import { call, callForFile } from '../api'
import { count, fullTime } from '../format'
import { usePages } from '../list'
import { me } from '../me'
import { href, navigate, usePlace, withQuery } from '../router'
import { useStore } from '../store'
import { Badge, Button, Empty, Failure, Note, PageHead, useSettled } from '../ui'
import type { AuditRecord, Routes } from '../types'

type Verdict = Routes['GET /api/v1/audit/verify']['reply']

const filters = [['actor', 'Who'], ['action', 'Action, key.* for all of keys'], ['subject', 'Subject']] as const

export function AuditPage() {
  const { query } = usePlace()
  const everywhere = useStore(me)?.everywhere.includes('audit.read')
  const now = Object.fromEntries(['actor', 'action', 'subject', 'from', 'to'].map((n) => [n, query.get(n) ?? '']))
  const settled = useSettled(JSON.stringify(now))
  const list = usePages(async (after, signal) => {
    const r = await call('GET /api/v1/audit', {
      query: { ...JSON.parse(settled), limit: 50, ...(after ? { before: Number(after) } : {}) }, signal,
    })
    return { items: r.records.map((x) => ({ ...x, id: String(x.seq) })), next: r.next ? String(r.next) : null }
  }, [settled])
  const put = (name: string, value: string) => navigate(withQuery({ [name]: value }), { replace: true })
  return (
    <>
      <PageHead title="Audit log" sub="What was done, and by whom. Each record carries the hash of the one before it.">
        <Verify />
        {everywhere && <Export />}
      </PageHead>
      <p class="crumb"><a href={href('access')}>Access</a></p>
      <div class="toolbar audit-filters">
        {filters.map(([name, hint]) => (
          <input key={name} type="search" value={now[name]} placeholder={hint} aria-label={hint}
            onInput={(e) => put(name, e.currentTarget.value)} />
        ))}
        <input type="date" aria-label="From" value={now.from} onInput={(e) => put('from', e.currentTarget.value)} />
        <input type="date" aria-label="Before" value={now.to} onInput={(e) => put('to', e.currentTarget.value)} />
      </div>
      {list.error && <Failure error={list.error} retry={list.refresh} />}
      {list.items && !list.items.length && <Empty title="Nothing here" />}
      {list.items && list.items.length > 0 && (
        <div class="table-frame">
          <table class="rows audit-table">
            <thead><tr><th>What</th><th>Who</th><th>Project</th><th>When</th><th class="n">No.</th></tr></thead>
            <tbody>{list.items.map((r) => <Row key={r.seq} r={r} />)}</tbody>
          </table>
        </div>
      )}
      {list.more && <p class="more"><Button onClick={list.more}>Show more</Button></p>}
    </>
  )
}

/** What a record says besides, without what it leaves empty; of hashes the beginning. */
function said(detail: unknown): string {
  if (typeof detail !== 'object' || detail === null) return ''
  return Object.entries(detail).flatMap(([key, v]) => {
    const text = typeof v === 'string' ? v.replace(/^([0-9a-f]{12})[0-9a-f]{52}$/, '$1…')
      : typeof v === 'object' ? (Array.isArray(v) ? JSON.stringify(v) : said(v)) : String(v)
    return text ? [`${key}: ${text}`] : []
  }).join(' · ')
}

function Row({ r }: { r: AuditRecord }) {
  const detail = said(r.detail)
  return (
    <tr>
      <td class="main-cell"><Badge>{r.action}</Badge> <strong>{r.subject}</strong>
        {detail && <code class="dim small path detail">{detail}</code>}</td>
      <td data-name="Who">{r.actor}</td>
      <td data-name="Project">{r.project}</td>
      <td data-name="Started">{fullTime(r.time)}</td>
      <td data-name="No." class="n" title={r.hash}>{r.seq}</td>
    </tr>
  )
}

function Verify() {
  const [verdict, setVerdict] = useState<Verdict | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const [busy, setBusy] = useState(false)
  const go = async () => {
    setBusy(true)
    setError(null)
    try {
      setVerdict(await call('GET /api/v1/audit/verify'))
    } catch (e) {
      setError(e as Error)
    }
    setBusy(false)
  }
  if (error) return <Failure error={error} retry={() => void go()} />
  if (verdict)
    return verdict.ok
      ? <p class="verdict state ok" role="status" title={`head ${verdict.head}`}><span class="dot" aria-hidden="true" />
        {count(verdict.records, 'record')}, one unbroken chain</p>
      : <Note kind="error" title="The log was changed.">{verdict.problem}</Note>
  return <Button icon="check" disabled={busy} onClick={() => void go()}>Verify</Button>
}

function Export() {
  const [error, setError] = useState<Error | null>(null)
  const go = async () => {
    try {
      const a = document.createElement('a')
      a.href = URL.createObjectURL(await callForFile('GET /api/v1/audit/export'))
      a.download = 'audit.jsonl'
      a.click()
      setTimeout(() => URL.revokeObjectURL(a.href), 10_000)
    } catch (e) {
      setError(e as Error)
    }
  }
  return <Button icon="download" title={error?.message} onClick={() => void go()}>{error ? 'Export failed' : 'Export'}</Button>
}
