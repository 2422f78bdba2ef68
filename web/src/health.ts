// What the server says of itself, asked for now and then while the page is in view.
import { ApiError, call, keyWanted } from './api'
import { createStore } from './store'
import type { Status } from './types'

export const status = createStore<Status | null>(null)
export const unreachable = createStore(false)

export async function refreshStatus(): Promise<void> {
  try {
    status.set(await call('GET /api/v1/status', { quiet: true }))
    unreachable.set(false)
  } catch (e) {
    unreachable.set(!(e instanceof ApiError && e.status > 0))
  }
}

keyWanted.watch((asks) => asks === null && void refreshStatus())
