import { useState } from 'preact/hooks'
import { call } from '../api'
import { chooseProject, may, me, refreshMe } from '../me'
import { useStore } from '../store'
import { Badge, Button, Confirm, Failure, Field, useLoad } from '../ui'
import type { Role } from '../types'
import { Permissions } from './access_keys'
import { RulesField } from './access_members'
import { FormDialog } from './access_parts'

// ---- roles

export function RolesTab() {
  const manage = may(useStore(me), 'access.manage')
  const { data, error, reload } = useLoad((signal) => call('GET /api/v1/roles', { signal }), [])
  const [editing, setEditing] = useState<Role | 'new' | null>(null)
  const [removing, setRemoving] = useState<Role | null>(null)
  return (
    <>
      <div class="toolbar">
        <p class="dim small grow">A role is a set of permissions, with rules on single artifacts beside it.</p>
        {manage && <Button kind="main" onClick={() => setEditing('new')}>New role</Button>}
      </div>
      {error && <Failure error={error} retry={reload} />}
      <ul class="cards">
        {data?.roles.map((r) => (
          <li class="card" key={r.name}>
            <div class="card-head">
              <div><strong>{r.name}</strong> {r.builtin && <Badge>built in</Badge>}
                <span class="dim small">{r.about}</span></div>
              {manage && !r.builtin && <div>
                <Button icon="settings" kind="quiet" label={`Change ${r.name}`} onClick={() => setEditing(r)} />
                <Button icon="trash" kind="quiet" label={`Remove ${r.name}`} onClick={() => setRemoving(r)} />
              </div>}
            </div>
            <p class="perms">{r.permissions.map((p) => <code key={p}>{p}</code>)}</p>
            {r.rules && <pre class="rules">{r.rules}</pre>}
          </li>
        ))}
      </ul>
      {editing && <RoleForm role={editing === 'new' ? null : editing} onClose={() => setEditing(null)} onDone={reload} />}
      {removing && (
        <Confirm title="Remove this role?" action="Remove" onClose={() => setRemoving(null)}
          onYes={async () => {
            await call('DELETE /api/v1/roles/{name}', { params: { name: removing.name } })
            reload()
          }}><p><strong>{removing.name}</strong>. Nobody may hold it any more.</p></Confirm>
      )}
    </>
  )
}

function RoleForm({ role, onClose, onDone }: { role: Role | null; onClose: () => void; onDone: () => void }) {
  const known = useLoad((signal) => call('GET /api/v1/permissions', { signal }), [])
  const [name, setName] = useState(role?.name ?? '')
  const [about, setAbout] = useState(role?.about ?? '')
  const [chosen, setChosen] = useState(role?.permissions ?? [])
  const [rules, setRules] = useState(role?.rules ?? '')
  return (
    <FormDialog title={role ? `Change ${role.name}` : 'New role'} action="Save" onClose={onClose}
      onDo={async () => {
        await call('PUT /api/v1/roles/{name}', { params: { name }, body: { about, permissions: chosen, rules } })
        onDone()
      }}>
      {!role && <Field label="Name"><input data-first value={name} autocapitalize="off" spellcheck={false}
        onInput={(e) => setName(e.currentTarget.value)} /></Field>}
      <Field label="What it is for"><input value={about} onInput={(e) => setAbout(e.currentTarget.value)} /></Field>
      <Permissions known={known.data?.permissions ?? []} chosen={chosen} onChange={setChosen} />
      <RulesField value={rules} onChange={setRules} />
    </FormDialog>
  )
}

// ---- projects

export function ProjectsTab() {
  const who = useStore(me)
  const manage = may(who, 'access.manage')
  const { data, error, reload } = useLoad((signal) => call('GET /api/v1/projects', { signal }), [])
  const [adding, setAdding] = useState(false)
  const [name, setName] = useState('')
  const [about, setAbout] = useState('')
  const done = () => { reload(); void refreshMe() }
  const archive = async (project: string, archived: boolean) => {
    await call('PATCH /api/v1/projects/{name}', { params: { name: project }, body: { archived } })
    done()
  }
  return (
    <>
      <div class="toolbar">
        <p class="dim small grow">What belongs to a project is seen by its members only.</p>
        {manage && <Button kind="main" onClick={() => setAdding(true)}>New project</Button>}
      </div>
      {error && <Failure error={error} retry={reload} />}
      {data && (
        <div class="table-frame">
          <table class="rows">
            <thead><tr><th>Project</th><th>Your role</th><th /></tr></thead>
            <tbody>{data.projects.map((p) => (
              <tr key={p.name}>
                <td class="main-cell"><strong>{p.name}</strong>{' '}
                  {p.name === who?.project && <Badge kind="good">here</Badge>} {p.archived && <Badge>archived</Badge>}
                  <span class="dim small">{p.about}</span></td>
                <td data-name="Role">{p.role ?? <span class="dim">–</span>}</td>
                <td class="acts">
                  {!p.archived && p.name !== who?.project && <Button onClick={() => chooseProject(p.name)}>Open</Button>}
                  {manage && p.name !== 'default' && p.name !== who?.project &&
                    <Button kind="quiet" onClick={() => void archive(p.name, !p.archived)}>{p.archived ? 'Restore' : 'Archive'}</Button>}
                </td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
      {adding && (
        <FormDialog title="New project" action="Add" onClose={() => setAdding(false)} onDo={async () => {
          await call('POST /api/v1/projects', { body: { name, about } })
          setName('')
          setAbout('')
          done()
        }}>
          <Field label="Name"><input data-first value={name} autocapitalize="off" spellcheck={false}
            onInput={(e) => setName(e.currentTarget.value)} /></Field>
          <Field label="What it is for"><input value={about} onInput={(e) => setAbout(e.currentTarget.value)} /></Field>
        </FormDialog>
      )}
    </>
  )
}
