// The shapes of the API. Those of the tables are generated (`npm run types`); here stands what the
// page calls them by, and what only streams carry.
import type { Document, Filters, Hit, Method, Outcome, Routes as Generated } from './types.gen'

export type { Block, Chunk, Document, Filters, Hit, Method, Model, Run, Setting, Span, Status }
  from './types.gen'

export type Problem = { code: string; message: string }
export type Ingested = Document & Outcome
export type DocumentText = Generated['GET /api/v1/documents/{id}/text']['reply']
export type Passage = Hit & { n: number }
export type BestSentence = {
  n: number; text: string; score: number; document: string; page: number; from: number; to: number
}
export type Citation = {
  n: number; status: 'verbatim' | 'supported' | 'unsupported'; answer_from: number
  answer_to: number; quote: string; score: number; document: string; title: string; path: string
  page: number; from: number; to: number
}
export type Source = {
  n: number; document: string; title: string; path: string; page: number; heading_path: string
  quote: string; from: number; to: number
}
export type Answer = {
  answer: string; grounded: boolean; reason: string | null; citations: Citation[]
  sources: Source[]; best: BestSentence[]
  usage: { prompt_tokens: number; completion_tokens: number }
  timings: {
    retrieve_ms: number; prompt_ms: number; decode_ms: number; check_ms: number; total_ms: number
  }
  model: string; run: string
}
export type AskBody = {
  question: string; model?: string; k?: number; method?: Method; collection?: string
  filters?: Filters; temperature?: number; seed?: number; max_tokens?: number; stream?: boolean
}

export interface Routes extends Generated {
  'POST /api/v1/ask': { query: undefined; body: AskBody; reply: Answer }
}
