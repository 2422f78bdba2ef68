// What the streams send: the event's name and its data.
import type { Answer, BestSentence, Passage, Problem } from './types'

export interface AskEvents {
  run: { run: string }
  passages: { passages: Passage[] }
  best: { sentences: BestSentence[] }
  token: { text: string }
  answer: Answer
  error: { error: Problem }
}

export interface PullEvents {
  progress: { what: string; done: number; total: number }
  done: { name: string }
  error: { error: Problem }
}

export interface LiveSpan {
  trace: string; span: string; parent: string | null; name: string; kind: string; status: string
  started: string; duration_ms: number | null
}
export interface LiveEvents {
  ready: Record<string, never>
  opened: LiveSpan
  closed: LiveSpan
  lost: { lost: number }
}
