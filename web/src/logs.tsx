// Log records: those of a span, and all of a run, searched and by level.
import { call } from './api'
import { usePages } from './list'
import { navigate, usePlace, withQuery } from './router'
import { Badge, Button, Empty, Failure, useSettled } from './ui'
import type { Log } from './types'

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal']

/** A line each; what it holds beside its text opens below it. */
export function LogLines({ list, choose }: { list: Log[]; choose?: (span: string) => void }) {
  return (
    <ol class="logs">
      {list.map((r, i) => (
        <li key={i} class={`log ${r.level}`}>
          <details>
            <summary>
              <time class="num dim" dateTime={r.time}>{r.time.slice(11, 23)}</time>{' '}
              <span class="level">{r.level || '·'}</span>{' '}
              {r.event && <Badge>{r.event}</Badge>}{' '}
              <span class="words">{line(r)}</span>
            </summary>
            {typeof r.body === 'object' && r.body !== null && <pre tabIndex={0}>{JSON.stringify(r.body, null, 2)}</pre>}
            {typeof r.body === 'string' && r.body.length > LINE && <p class="words">{r.body}</p>}
            {Object.entries(r.attributes).map(([k, v]) => (
              <p key={k} class="small"><span class="dim">{k}</span>{' '}
                <code>{typeof v === 'string' ? v : JSON.stringify(v)}</code></p>
            ))}
            <p class="small dim">
              {[r.service, r.scope].filter(Boolean).join(' · ')}
              {r.span && choose && <>{' '}<button class="link" onClick={() => choose(r.span!)}>its span</button></>}
            </p>
          </details>
        </li>
      ))}
    </ol>
  )
}

const LINE = 300

function line(r: Log): string {
  const text = typeof r.body === 'string' ? r.body : r.body === null ? '' : JSON.stringify(r.body)
  return text.length > LINE ? text.slice(0, LINE) + '…' : text
}

/** All of a run; what is looked for stands in the address. */
export function RunLogs({ run }: { run: string }) {
  const { query } = usePlace()
  const q = query.get('log') ?? '', level = query.get('level') ?? ''
  const settled = useSettled(JSON.stringify({ ...(q ? { q } : {}), ...(level ? { level } : {}) }))
  const list = usePages(async (after, signal) => {
    const r = await call('GET /api/v1/runs/{id}/logs', {
      params: { id: run }, query: { ...JSON.parse(settled), limit: 100, ...(after ? { after } : {}) }, signal,
    })
    return { items: r.logs.map((x, i) => ({ ...x, id: `${after ?? ''}/${i}` })), next: r.next }
  }, [run, settled])
  const put = (name: string, value: string) => navigate(withQuery({ [name]: value }), { replace: true })
  return (
    <section class="detail" aria-label="Logs">
      <h2>Logs</h2>
      <div class="toolbar">
        <input type="search" value={q} placeholder="Search logs" aria-label="Search logs"
          onInput={(e) => put('log', e.currentTarget.value)} />
        <select aria-label="Level" value={level} onChange={(e) => put('level', e.currentTarget.value)}>
          <option value="">Any level</option>
          {levels.map((l) => <option key={l} value={l}>{l} and above</option>)}
        </select>
      </div>
      {list.error && <Failure error={list.error} retry={list.refresh} />}
      {list.items && !list.items.length && <Empty title={list.more ? 'Nothing so far' : 'Nothing here'} />}
      {list.items && <LogLines list={list.items} choose={(span) => navigate(withQuery({ span }))} />}
      {list.more && <p class="more"><Button onClick={list.more}>Show more</Button></p>}
    </section>
  )
}
