// Who sits here, and in which project the page works.
import { call, keyWanted, projectChosen } from './api'
import { createStore } from './store'
import type { Me } from './types'

export const me = createStore<Me | null>(null)

export async function refreshMe(): Promise<void> {
  try {
    me.set(await call('GET /api/v1/me', { quiet: true }))
  } catch {
    // a project that is gone, or that this person is no member of
    if (projectChosen()) {
      chooseProject(null)
      return
    }
    me.set(null)
  }
}

export const may = (who: Me | null, permission: string): boolean =>
  !!who?.permissions.includes(permission)

/** Everything that is shown belongs to the project: begin anew. */
export function chooseProject(project: string | null): void {
  projectChosen(project)
  location.reload()
}

export async function signOut(): Promise<void> {
  await call('DELETE /api/v1/session', { quiet: true }).catch(() => {})
  try {
    sessionStorage.clear()
  } catch {
    // nothing was kept then
  }
  location.assign('/')
}

keyWanted.watch((asks) => asks === null && void refreshMe())
