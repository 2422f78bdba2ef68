import { useState } from 'preact/hooks'
import { call } from '../api'
import { Badge, Button, Confirm, Empty, Failure, Field, useLoad } from '../ui'
import type { Member } from '../types'
import { FormDialog } from './access_parts'

export function MembersTab() {
  const { data, error, reload } = useLoad((signal) => call('GET /api/v1/members', { signal }), [])
  const [editing, setEditing] = useState<Member | 'new' | null>(null)
  const [removing, setRemoving] = useState<Member | null>(null)
  return (
    <>
      <div class="toolbar">
        <p class="dim small grow">Who may do what in project <strong>{data?.project}</strong>.</p>
        <Button kind="main" onClick={() => setEditing('new')}>Add a member</Button>
      </div>
      {error && <Failure error={error} retry={reload} />}
      {data && !data.members.length && <Empty title="No members" />}
      {data && data.members.length > 0 && (
        <div class="table-frame">
          <table class="rows">
            <thead><tr><th>Member</th><th>Role</th><th>Rules</th><th /></tr></thead>
            <tbody>{data.members.map((m) => (
              <tr key={`${m.user} ${m.everywhere}`}>
                <td class="main-cell"><strong>{m.display || m.user}</strong>{' '}
                  {m.kind === 'service' && <Badge>service</Badge>}
                  {m.everywhere && <span class="dim small">by a role in every project</span>}</td>
                <td data-name="Role">{m.role}</td>
                <td data-name="Rules">{m.rules ? <pre class="rules">{m.rules}</pre> : <span class="dim">–</span>}</td>
                <td class="act">{!m.everywhere && <>
                  <Button icon="settings" kind="quiet" label={`Change ${m.user}`} onClick={() => setEditing(m)} />
                  <Button icon="trash" kind="quiet" label={`Take out ${m.user}`} onClick={() => setRemoving(m)} />
                </>}</td>
              </tr>
            ))}</tbody>
          </table>
        </div>
      )}
      {editing && <MemberForm member={editing === 'new' ? null : editing}
        onClose={() => setEditing(null)} onDone={reload} />}
      {removing && (
        <Confirm title="Take this member out?" action="Take out" onClose={() => setRemoving(null)}
          onYes={async () => {
            await call('DELETE /api/v1/members/{user}', { params: { user: removing.user } })
            reload()
          }}>
          <p><strong>{removing.user}</strong> no longer sees the project.</p>
        </Confirm>
      )}
    </>
  )
}

function MemberForm({ member, onClose, onDone }: {
  member: Member | null; onClose: () => void; onDone: () => void
}) {
  const roles = useLoad((signal) => call('GET /api/v1/roles', { signal }), [])
  const [user, setUser] = useState('')
  const [role, setRole] = useState(member?.role ?? 'viewer')
  const [rules, setRules] = useState(member?.rules ?? '')
  const save = async () => {
    await call('PUT /api/v1/members/{user}', { params: { user: member?.user ?? user }, body: { role, rules } })
    onDone()
  }
  return (
    <FormDialog title={member ? `Change ${member.user}` : 'Add a member'} action={member ? 'Save' : 'Add'}
      onDo={save} onClose={onClose}>
      {!member && <Field label="Name of the user"><input data-first value={user} autocapitalize="off" spellcheck={false}
        onInput={(e) => setUser(e.currentTarget.value)} /></Field>}
      <Field label="Role">
        <select value={role} onChange={(e) => setRole(e.currentTarget.value)}>
          {roles.data?.roles.map((r) => <option key={r.name}>{r.name}</option>)}
        </select>
      </Field>
      <RulesField value={rules} onChange={setRules} />
    </FormDialog>
  )
}

export function RulesField({ value, onChange }: { value: string; onChange: (v: string) => void }) {
  return (
    <Field label="Rules on single artifacts, one a line">
      <textarea rows={3} value={value} spellcheck={false} class="mono"
        placeholder={"deny artifact.alias where alias = 'prod'"}
        onInput={(e) => onChange(e.currentTarget.value)} />
    </Field>
  )
}
