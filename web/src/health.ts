// What the server says of itself, asked for now and then while the page is in view.
import { call } from './api'
import { createStore } from './store'
import type { Status } from './types'

export const status = createStore<Status | null>(null)
export const unreachable = createStore(false)

export async function refreshStatus(): Promise<void> {
  try {
    status.set(await call('GET /api/v1/status'))
    unreachable.set(false)
  } catch {
    unreachable.set(true)
  }
}
