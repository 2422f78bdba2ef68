// What the open models do now, and how fast: two looks make a rate.
import { useEffect, useRef, useState } from 'preact/hooks'
import { call } from './api'
import type { ModelLive, Routes } from './types'
import { useEvery } from './ui'

const LOOK_MS = 1500
export type Look = Routes['GET /api/v1/models/live']['reply']

export interface Rates { read: number; written: number }

/** Tokens a second between two looks; null when the model was opened in between. */
export function ratesOf(before: Look | null, now: Look, name: string): Rates | null {
  const a = before?.models.find((m) => m.name === name)
  const b = now.models.find((m) => m.name === name)
  const ms = before ? now.clock_ms - before.clock_ms : 0
  if (!a || !b || ms <= 0 || b.requests < a.requests || b.generated_tokens < a.generated_tokens) return null
  return { read: ((b.prompt_tokens - a.prompt_tokens) * 1000) / ms,
    written: ((b.generated_tokens - a.generated_tokens) * 1000) / ms }
}

export interface Live { look: Look | null; of: (name: string) => ModelLive | undefined; rates: (name: string) => Rates | null; refresh: () => void }

export function useLiveModels(): Live {
  const [[before, look], set] = useState<[Look | null, Look | null]>([null, null])
  const asking = useRef(false)
  const refresh = () => {
    if (asking.current) return
    asking.current = true
    call('GET /api/v1/models/live', { quiet: true })
      .then((next) => set(([, last]) => [last, next]), () => {}) // the list says what is wrong
      .finally(() => (asking.current = false))
  }
  useEffect(refresh, [])
  useEvery(LOOK_MS, refresh)
  return { look, of: (name) => look?.models.find((m) => m.name === name),
    rates: (name) => (look ? ratesOf(before, look, name) : null), refresh }
}
