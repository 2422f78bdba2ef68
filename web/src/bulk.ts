// Jobs on many items (docs/curation.md): begun by a call, waited for here; they go on when the page is left.
import { call } from './api'
import type { CollectionJob } from './types'

const EVERY = 150 // ms

/** The job when it has ended; said: how far it is, in the meantime. Throws when it failed or was cancelled. */
export async function finished(name: string, job: CollectionJob, said?: (job: CollectionJob) => void): Promise<CollectionJob> {
  let at = job
  while (at.state === 'waiting' || at.state === 'running') {
    said?.(at)
    await new Promise((done) => setTimeout(done, EVERY))
    at = await call('GET /api/v1/collections/{name}/bulk/{job}', { params: { name, job: at.id! } })
  }
  if (at.state === 'failed') throw new Error(at.error ?? 'it failed')
  if (at.state === 'cancelled') throw new Error(`cancelled after ${at.items} items`)
  return at
}

/** Cancels it; what it has done stays. */
export const cancelJob = (name: string, job: string): Promise<CollectionJob> =>
  call('DELETE /api/v1/collections/{name}/bulk/{job}', { params: { name, job } })
