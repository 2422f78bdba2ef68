import { useState } from 'preact/hooks'
import { call } from '../api'
import { refreshMe } from '../me'
import { Badge, Button, Choice, Confirm, Empty, Failure, Field, Note, useLoad } from '../ui'
import type { User } from '../types'
import { FormDialog } from './access_parts'

export function UsersTab() {
  const { data, error, reload } = useLoad((signal) => call('GET /api/v1/users', { signal }), [])
  const [editing, setEditing] = useState<User | 'new' | null>(null)
  const [removing, setRemoving] = useState<User | null>(null)
  const done = () => { reload(); void refreshMe() }
  return (
    <>
      <div class="toolbar">
        <p class="dim small grow">Persons sign in; service accounts have keys only.</p>
        <Button kind="main" onClick={() => setEditing('new')}>Add a user</Button>
      </div>
      {error && <Failure error={error} retry={reload} />}
      {data && !data.users.length && (
        <Empty title="No users yet">
          <p>Whoever can open this page may do everything. Once there is a user, everybody has to sign in.</p>
        </Empty>
      )}
      {data && data.users.length > 0 && (
        <div class="table-frame">
          <table class="rows">
            <thead><tr><th>User</th><th>In every project</th><th>Projects</th><th>Signs in</th><th /></tr></thead>
            <tbody>{data.users.map((u) => (
              <tr key={u.id}>
                <td class="main-cell"><strong>{u.display || u.name}</strong>{' '}
                  {u.kind === 'service' && <Badge>service</Badge>} {u.disabled && <Badge>disabled</Badge>}
                  {u.display && u.display !== u.name && <span class="dim small">{u.name}</span>}</td>
                <td data-name="Everywhere">{u.role ?? <span class="dim">–</span>}</td>
                <td data-name="Projects">{u.projects.length ? u.projects.map((p) => (
                  <Badge key={p.project}>{p.project}: {p.role}</Badge>)) : <span class="dim">–</span>}</td>
                <td data-name="Signs in">{u.password ? 'password' : <span class="dim">–</span>}</td>
                <td class="act">
                  <Button icon="settings" kind="quiet" label={`Change ${u.name}`} onClick={() => setEditing(u)} />
                  <Button icon="trash" kind="quiet" label={`Remove ${u.name}`} onClick={() => setRemoving(u)} />
                </td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
      {editing && <UserForm user={editing === 'new' ? null : editing} first={!data?.users.length}
        onClose={() => setEditing(null)} onDone={done} />}
      {removing && (
        <Confirm title="Remove this user?" action="Remove" onClose={() => setRemoving(null)}
          onYes={async () => {
            await call('DELETE /api/v1/users/{name}', { params: { name: removing.name } })
            done()
          }}>
          <p><strong>{removing.name}</strong>, with memberships, keys and sessions. What they did stays in the audit log.</p>
        </Confirm>
      )}
    </>
  )
}

function UserForm({ user, first, onClose, onDone }: {
  user: User | null; first: boolean; onClose: () => void; onDone: () => void
}) {
  const roles = useLoad((signal) => call('GET /api/v1/roles', { signal }), [])
  const [name, setName] = useState('')
  const [display, setDisplay] = useState(user?.display ?? '')
  const [kind, setKind] = useState<'person' | 'service'>(user?.kind ?? 'person')
  const [role, setRole] = useState(user?.role ?? (first && !user ? 'admin' : ''))
  const [password, setPassword] = useState('')
  const [disabled, setDisabled] = useState(user?.disabled ?? false)
  const save = async () => {
    const common = { display, role: role || null, ...(password ? { password } : {}) }
    if (user)
      await call('PATCH /api/v1/users/{name}', { params: { name: user.name }, body: { ...common, disabled } })
    else
      await call('POST /api/v1/users', { body: { name, kind, ...common } })
    onDone()
  }
  return (
    <FormDialog title={user ? `Change ${user.name}` : 'Add a user'} action={user ? 'Save' : 'Add'}
      onDo={save} onClose={onClose}>
      {!user && first && (
        <Note kind="warn" title="From now on everybody has to sign in."><p>Give the first user the role admin and a password.</p></Note>
      )}
      {!user && <Choice label="Kind" value={kind} options={[['person', 'Person'], ['service', 'Service account']]} onChange={setKind} />}
      {!user && <Field label="Name (small letters)"><input data-first value={name} autocapitalize="off" spellcheck={false}
        onInput={(e) => setName(e.currentTarget.value)} /></Field>}
      <Field label="Shown as"><input value={display} onInput={(e) => setDisplay(e.currentTarget.value)} /></Field>
      <Field label="Role in every project">
        <select value={role} onChange={(e) => setRole(e.currentTarget.value)}>
          <option value="">none: a member of single projects only</option>
          {roles.data?.roles.map((r) => <option key={r.name}>{r.name}</option>)}
        </select>
      </Field>
      {kind === 'person' && <Field label={user?.password ? 'New password (empty: as it is)' : 'Password (at least 10 characters)'}>
        <input type="password" autocomplete="new-password" value={password} onInput={(e) => setPassword(e.currentTarget.value)} />
      </Field>}
      {user && <label class="check"><input type="checkbox" checked={disabled}
        onChange={(e) => setDisabled(e.currentTarget.checked)} /> Let nobody in as this user</label>}
    </FormDialog>
  )
}
