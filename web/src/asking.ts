// The questions of this session and what came of them. They live outside the page's components, so
// that an answer goes on streaming while another page is in view.
import { ApiError, stream } from './api'
import type { AskEvents } from './events'
import { createStore } from './store'
import type { Answer, BestSentence, Filters, Passage } from './types'

export type Phase = 'retrieving' | 'reading' | 'writing' | 'done' | 'stopped' | 'failed'

export interface Turn {
  id: number
  question: string
  filters: Filters
  phase: Phase
  run: string | null
  passages: Passage[]
  best: BestSentence[]
  text: string
  tokens: number
  answer: Answer | null
  error: { code: string; message: string } | null
  /** Milliseconds of the clock: asked, passages there, first token, end. */
  at: { start: number; passages?: number; first?: number; end?: number }
}

const KEY = 'croft.turns'
const KEPT = 20

const SHOWN = 'croft.turn'

function restored<T>(key: string, otherwise: T): T {
  try {
    return (JSON.parse(sessionStorage.getItem(key) ?? 'null') as T | null) ?? otherwise
  } catch {
    return otherwise
  }
}

function keep(key: string, value: unknown): void {
  try {
    sessionStorage.setItem(key, JSON.stringify(value))
  } catch {
    // over the browser's quota: the history is a convenience
  }
}

/** Newest first. */
export const turns = createStore(restored<Turn[]>(KEY, []))
/** The one that is shown in full. */
export const currentTurn = createStore(restored<number | null>(SHOWN, null))
const stops = new Map<number, AbortController>()

turns.watch((all) => keep(KEY, all.filter((t) => !isOpen(t)).slice(0, KEPT)))
currentTurn.watch((id) => keep(SHOWN, id))

export const isOpen = (t: Turn): boolean =>
  t.phase === 'retrieving' || t.phase === 'reading' || t.phase === 'writing'

function change(id: number, part: Partial<Turn>): void {
  turns.set((all) => all.map((t) => (t.id === id ? { ...t, ...part } : t)))
}

export function stopAsking(id: number): void {
  stops.get(id)?.abort()
}

export async function ask(question: string, filters: Filters): Promise<void> {
  const open = turns.get().find(isOpen)
  if (open) stopAsking(open.id)
  const stop = new AbortController()
  let turn: Turn = {
    id: Date.now(), question, filters, phase: 'retrieving', run: null, passages: [], best: [],
    text: '', tokens: 0, answer: null, error: null, at: { start: Date.now() },
  }
  stops.set(turn.id, stop)
  turns.set((all) => [turn, ...all].slice(0, KEPT))
  currentTurn.set(turn.id)
  const update = (part: Partial<Turn>) => {
    turn = { ...turn, ...part }
    change(turn.id, part)
  }
  const ended = () => ({ ...turn.at, end: Date.now() })
  try {
    const events = stream<AskEvents, 'POST /api/v1/ask'>('POST /api/v1/ask', {
      body: { question, filters, stream: true }, signal: stop.signal,
    })
    for await (const e of events) {
      if (e.event === 'run') update({ run: e.data.run })
      else if (e.event === 'passages')
        update({ passages: e.data.passages, phase: 'reading',
          at: { ...turn.at, passages: Date.now() } })
      else if (e.event === 'best') update({ best: e.data.sentences })
      else if (e.event === 'token')
        update({ text: turn.text + e.data.text, tokens: turn.tokens + 1, phase: 'writing',
          at: { ...turn.at, first: turn.at.first ?? Date.now() } })
      else if (e.event === 'answer')
        update({ answer: e.data, text: e.data.answer, best: e.data.best, run: e.data.run,
          phase: 'done', at: ended() })
      else if (e.event === 'error') update({ error: e.data.error, phase: 'failed', at: ended() })
    }
    if (isOpen(turn))
      update({ phase: 'failed', at: ended(), error: {
        code: 'network', message: 'The answer ended before it was complete.' } })
  } catch (e) {
    if (stop.signal.aborted) update({ phase: 'stopped', at: ended() })
    else
      update({ phase: 'failed', at: ended(), error: {
        code: e instanceof ApiError ? e.code : 'network',
        message: e instanceof ApiError ? e.message : 'The connection broke while answering.' } })
  } finally {
    stops.delete(turn.id)
  }
}
