import { useState } from 'preact/hooks'
import { call } from '../api'
import { fullTime, when } from '../format'
import { may, me } from '../me'
import { useStore } from '../store'
import { Badge, Button, Confirm, Dialog, Empty, Failure, Field, useLoad } from '../ui'
import type { ApiKey } from '../types'
import { FormDialog } from './access_parts'

export function KeysTab() {
  const { data, error, reload } = useLoad((signal) => call('GET /api/v1/keys', { signal }), [])
  const [adding, setAdding] = useState(false)
  const [made, setMade] = useState<(ApiKey & { key: string }) | null>(null)
  const [revoking, setRevoking] = useState<ApiKey | null>(null)
  const [rotating, setRotating] = useState<ApiKey | null>(null)
  return (
    <>
      <div class="toolbar">
        <p class="dim small grow">Programs show a key. It is shown once, when it is made; the server keeps its hash.</p>
        <Button kind="main" icon="key" onClick={() => setAdding(true)}>New key</Button>
      </div>
      {error && <Failure error={error} retry={reload} />}
      {data && !data.keys.length && <Empty title="No keys" />}
      {data && data.keys.length > 0 && (
        <div class="table-frame">
          <table class="rows keys-table">
            <thead><tr><th>Key</th><th>User</th><th>Project</th><th>Expires</th><th>Last used</th>
              <th>State</th><th /></tr></thead>
            <tbody>{data.keys.map((k) => (
              <tr key={k.id} class={k.state === 'valid' ? '' : 'ended'}>
                <td class="main-cell">
                  <strong>{k.name || 'unnamed'}</strong>
                  <span class="dim small"><code>{k.prefix}…</code></span>
                  {k.permissions && <span class="dim small">only {k.permissions.join(', ')}</span>}
                </td>
                <td data-name="User">{k.user}</td>
                <td data-name="Project">{k.project ?? <span class="dim">any</span>}</td>
                <td data-name="Expires" title={fullTime(k.expires)}>{k.expires ? k.expires.slice(0, 10) : <span class="dim">never</span>}</td>
                <td data-name="Last used" title={fullTime(k.used)}>{k.used ? when(k.used) : <span class="dim">never</span>}</td>
                <td data-name="State"><Badge kind={k.state === 'valid' ? 'good' : ''}>{k.state}</Badge></td>
                <td class="act">{k.state === 'valid' && <>
                  <Button icon="retry" kind="quiet" label={`Rotate ${k.name || k.prefix}`} onClick={() => setRotating(k)} />
                  <Button icon="trash" kind="quiet" label={`Revoke ${k.name || k.prefix}`} onClick={() => setRevoking(k)} />
                </>}</td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
      {adding && <NewKey onClose={() => setAdding(false)} onMade={(k) => { setMade(k); reload() }} />}
      {rotating && <Rotate k={rotating} onClose={() => setRotating(null)} onMade={(k) => { setMade(k); reload() }} />}
      {made && <ShowOnce made={made} onClose={() => setMade(null)} />}
      {revoking && (
        <Confirm title="Revoke this key?" action="Revoke" onClose={() => setRevoking(null)}
          onYes={async () => {
            await call('DELETE /api/v1/keys/{id}', { params: { id: revoking.id } })
            reload()
          }}>
          <p><strong>{revoking.name || revoking.prefix}</strong> stops working at once, everywhere.</p>
        </Confirm>
      )}
    </>
  )
}

type Made = (k: ApiKey & { key: string }) => void

function NewKey({ onClose, onMade }: { onClose: () => void; onMade: Made }) {
  const who = useStore(me)
  const others = may(who, 'access.manage')
  const users = useLoad((signal) => others ? call('GET /api/v1/users', { signal })
    : Promise.resolve({ users: [] }), [])
  const known = useLoad((signal) => call('GET /api/v1/permissions', { signal }), [])
  const [name, setName] = useState('')
  const [user, setUser] = useState(who?.kind === 'local' ? '' : who?.name ?? '')
  const [project, setProject] = useState('')
  const [expires, setExpires] = useState('90d')
  const [only, setOnly] = useState<string[]>([])
  const make = async () => onMade(await call('POST /api/v1/keys', {
    body: { name, ...(user ? { user } : {}), ...(project ? { project } : {}),
      ...(expires ? { expires_in: expires } : {}), ...(only.length ? { permissions: only } : {}) },
  }))
  return (
    <FormDialog title="New key" action="Make the key" onDo={make} onClose={onClose}>
      <Field label="What it is for"><input data-first value={name} onInput={(e) => setName(e.currentTarget.value)} /></Field>
      {others && (
        <Field label="Whose it is">
          <select value={user} onChange={(e) => setUser(e.currentTarget.value)}>
            {who?.kind === 'local' && <option value="">choose a user</option>}
            {users.data?.users.map((u) => <option key={u.id} value={u.name}>{u.name}</option>)}
          </select>
        </Field>
      )}
      <div class="two">
        <Field label="Project">
          <select value={project} onChange={(e) => setProject(e.currentTarget.value)}>
            <option value="">any of the user’s</option>
            {who?.projects.map((p) => <option key={p}>{p}</option>)}
          </select>
        </Field>
        <Field label="Valid for">
          <select value={expires} onChange={(e) => setExpires(e.currentTarget.value)}>
            <option value="7d">7 days</option>
            <option value="30d">30 days</option>
            <option value="90d">90 days</option>
            <option value="365d">a year</option>
            <option value="">until it is revoked</option>
          </select>
        </Field>
      </div>
      <details>
        <summary>Only some permissions{only.length > 0 && ` (${only.length})`}</summary>
        <Permissions known={known.data?.permissions ?? []} chosen={only} onChange={setOnly} />
      </details>
    </FormDialog>
  )
}

export function Permissions({ known, chosen, onChange }: {
  known: { name: string; about: string; everywhere: boolean }[]; chosen: string[]
  onChange: (next: string[]) => void
}) {
  return (
    <div class="checks">
      {known.map((p) => (
        <label key={p.name} title={p.about}>
          <input type="checkbox" checked={chosen.includes(p.name)}
            onChange={(e) => onChange(e.currentTarget.checked ? [...chosen, p.name]
              : chosen.filter((c) => c !== p.name))} />
          <span><code>{p.name}</code> <span class="dim small">{p.about}</span></span>
        </label>
      ))}
    </div>
  )
}

function Rotate({ k, onClose, onMade }: { k: ApiKey; onClose: () => void; onMade: Made }) {
  const [grace, setGrace] = useState('24h')
  return (
    <FormDialog title={`Rotate ${k.name || k.prefix}`} action="Make the new key" onClose={onClose}
      onDo={async () => onMade(await call('POST /api/v1/keys/{id}/rotate', {
        params: { id: k.id }, body: { grace },
      }))}>
      <p>A new key takes its place, with the same rights.</p>
      <Field label="The old one stays valid for">
        <select data-first value={grace} onChange={(e) => setGrace(e.currentTarget.value)}>
          <option value="0">not at all</option>
          <option value="1h">an hour</option>
          <option value="24h">a day</option>
          <option value="7d">7 days</option>
        </select>
      </Field>
    </FormDialog>
  )
}

function ShowOnce({ made, onClose }: { made: ApiKey & { key: string }; onClose: () => void }) {
  const [copied, setCopied] = useState(false)
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(made.key)
      setCopied(true)
    } catch {
      // it can be selected by hand
    }
  }
  return (
    <Dialog title="The key, this once" onClose={onClose} actions={<>
      <Button onClick={copy}>{copied ? 'Copied' : 'Copy'}</Button>
      <Button kind="main" data-first onClick={onClose}>I have kept it</Button>
    </>}>
      <p>It acts as <strong>{made.user}</strong>. Nobody can show it again; if it is lost, revoke it and make another.</p>
      <code class="secret">{made.key}</code>
    </Dialog>
  )
}
