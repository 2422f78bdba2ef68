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
