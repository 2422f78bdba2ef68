import { useState } from 'preact/hooks'
import { call } from '../api'
import { count, duration } from '../format'
import { status } from '../health'
import { useStore } from '../store'
import { Badge, Facts, Failure, PageHead, useLoad } from '../ui'
import type { Setting } from '../types'

export function SettingsPage() {
  const s = useStore(status)
  const { data, error, reload } = useLoad((signal) => call('GET /api/v1/settings', { signal }), [])
  const [find, setFind] = useState('')
  const fits = (x: Setting) => `${x.name} ${x.help}`.toLowerCase().includes(find.toLowerCase())
  const shown = data?.settings.filter(fits) ?? []
  const groups = [...new Set(shown.map((x) => x.name.split('.').slice(0, -1).join('.')))]
  return (
    <>
      <PageHead title="Settings" sub="What this server is, and where each of its settings comes from." />
      {s && (
        <Facts rows={[
          ['State', s.ready ? <span class="state ok"><span class="dot" />ready</span>
            : <span class="state error"><span class="dot" />not ready: {s.reason}</span>],
          ['Version', s.version],
          ['Up for', duration(s.uptime_ms)],
          ['Holds', `${count(s.documents, 'document')}, ${count(s.chunks, 'passage')}, ${count(s.models, 'model')}`],
          ['Writes answers', s.chat_model ?? 'no model'],
          ['Finds passages', s.embed_model ?? 'no model'],
          ['Data', <code class="path">{s.home}</code>],
        ]} />
      )}
      {error && <Failure error={error} retry={reload} />}
      {data && (
        <>
          <div class="toolbar">
            <input type="search" value={find} placeholder="Find a setting" aria-label="Find a setting"
              onInput={(e) => setFind(e.currentTarget.value)} />
          </div>
          <div class="table-frame">
            <table class="rows settings-table">
              <thead><tr><th>Setting</th><th>Value</th><th>From</th></tr></thead>
              {groups.map((g) => (
                <tbody key={g}>
                  {shown.filter((x) => x.name.split('.').slice(0, -1).join('.') === g)
                    .map((x) => <Row key={x.name} x={x} />)}
                </tbody>
              ))}
            </table>
          </div>
        </>
      )}
      <p class="dim small">
        Change them in croft.yaml, by environment (rag.top_k is CROFT_RAG_TOP_K) or by option
        (--rag-top-k), then start croft again. <a href="/api/v1/openapi.json">The API</a> ·{' '}
        <a href="/licences.txt">Licences of this page</a>
      </p>
    </>
  )
}

function Row({ x }: { x: Setting }) {
  return (
    <tr>
      <td class="main-cell"><code>{x.name}</code><span class="dim small">{x.help}</span></td>
      <td data-name="Value"><code class="path">{x.value || '–'}</code></td>
      <td data-name="From">
        {x.origin === 'default' ? <span class="dim">default</span> : <Badge kind="good">{x.origin}</Badge>}
      </td>
    </tr>
  )
}
