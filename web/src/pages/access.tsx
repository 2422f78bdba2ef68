// Who may do what: keys, users, members of the project, roles, projects.
import type { ComponentType } from 'preact'
import { may, me } from '../me'
import { href, usePlace } from '../router'
import { useStore } from '../store'
import { Button, PageHead } from '../ui'
import { signOut } from '../me'
import { KeysTab } from './access_keys'
import { MembersTab } from './access_members'
import { ProjectsTab, RolesTab } from './access_roles'
import { UsersTab } from './access_users'
import { PasswordTab } from './access_password'

const tabs: { name: string; title: string; needs?: string; person?: boolean; tab: ComponentType }[] = [
  { name: 'keys', title: 'Keys', tab: KeysTab },
  { name: 'members', title: 'Members', needs: 'member.manage', tab: MembersTab },
  { name: 'users', title: 'Users', needs: 'access.manage', tab: UsersTab },
  { name: 'roles', title: 'Roles', tab: RolesTab },
  { name: 'projects', title: 'Projects', tab: ProjectsTab },
  { name: 'password', title: 'Password', person: true, tab: PasswordTab },
]

const methods = {
  open: 'Nobody needs credentials on this machine until a user is added.',
  local: 'By the key of the data directory, or the root key.',
  session: 'Signed in.',
  key: 'By an API key.',
} as const

export function AccessPage() {
  const who = useStore(me)
  const { query } = usePlace()
  const shown = tabs.filter((t) =>
    (!t.needs || may(who, t.needs)) && (!t.person || who?.method === 'session'))
  const here = shown.find((t) => t.name === query.get('tab')) ?? shown[0]!
  const Tab = here.tab
  return (
    <>
      <PageHead title="Access" sub={who && <>
        You are <strong>{who.display}</strong>{who.project && <> in project <strong>{who.project}</strong></>}.{' '}
        {methods[who.method]}
      </>}>
        {may(who, 'audit.read') && <a class="button" href={href('audit')}>Audit log</a>}
        {who && who.method !== 'open' && <Button onClick={() => void signOut()}>Sign out</Button>}
      </PageHead>
      <nav class="tabs" aria-label="Access">
        {shown.map((t) => (
          <a key={t.name} href={href('access', {}, { tab: t.name })}
            aria-current={t === here ? 'page' : undefined}>{t.title}</a>
        ))}
      </nav>
      <Tab key={here.name} />
    </>
  )
}
