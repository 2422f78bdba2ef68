// Models on their way here; they go on while other pages are in view.
import { ApiError, stream } from './api'
import type { PullEvents } from './events'
import { refreshStatus } from './health'
import { createStore } from './store'

export interface Pull {
  model: string
  base?: string
  state: 'going' | 'done' | 'failed' | 'stopped'
  what: string
  done: number
  total: number
  /** For the rate: where and when this file's progress began, and when it was last heard of. */
  before: number
  started: number
  seen: number
  why: string
}

export const pulls = createStore<Pull[]>([])
const stops = new Map<string, AbortController>()

export const stopPull = (model: string): void => stops.get(model)?.abort()

/** base: what it is an adapter of; none: a model itself. */
export async function pull(model: string, base?: string): Promise<void> {
  if (stops.has(model)) return
  const stop = new AbortController()
  stops.set(model, stop)
  const now = Date.now()
  let p: Pull = { model, base, state: 'going', what: 'Beginning', done: 0, total: 0, before: 0,
    started: now, seen: now, why: '' }
  const update = (part: Partial<Pull>) => {
    p = { ...p, ...part }
    pulls.set((all) => [...all.filter((x) => x.model !== model), p])
  }
  update({})
  try {
    for await (const e of stream<PullEvents, 'POST /api/v1/models/pull'>(
      'POST /api/v1/models/pull', { body: { model, ...(base ? { base } : {}) }, signal: stop.signal })) {
      if (e.event === 'progress') {
        const fresh = e.data.what !== p.what
        update({ ...e.data, seen: Date.now(),
          ...(fresh ? { before: e.data.done, started: Date.now() } : {}) })
      } else if (e.event === 'done') update({ state: 'done' })
      else if (e.event === 'error') update({ state: 'failed', why: e.data.error.message })
    }
    if (p.state === 'going') update({ state: 'failed', why: 'The connection ended before the model was complete.' })
  } catch (e) {
    if (stop.signal.aborted) update({ state: 'stopped' })
    else update({ state: 'failed', why: e instanceof ApiError ? e.message : 'The connection broke.' })
  } finally {
    stops.delete(model)
    void refreshStatus()
  }
}
