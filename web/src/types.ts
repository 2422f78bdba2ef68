// The shapes of /api/v1, in the form that `croft api typescript` prints them.

export type Status = {
  version: string; uptime_ms: number; ready: boolean; reason: string | null; documents: number
  chunks: number; failed: number; models: number; chat_model: string | null
  embed_model: string | null; home: string
}
export type Setting = {
  name: string; value: string; origin: string
  type: 'text' | 'int' | 'bytes' | 'duration' | 'bool' | 'secret'; help: string
}
export type Problem = { code: string; message: string }
export type Document = {
  id: string; path: string; title: string; type: string; collection: string
  status: 'indexed' | 'failed' | 'processing'; error: Problem | null; warnings: string[]
  bytes: number; pages: number; chunks: number; language: string; author: string; tags: string[]
  sha256: string; version: number; created: string | null; added: string; updated: string
}
export type Ingested = Document & {
  outcome: 'indexed' | 'unchanged' | 'failed'; embedded: number; reused: number
}
export type Block = { kind: string; from: number; to: number; page: number; level: number }
export type DocumentText = { document: Document; text: string; blocks: Block[] }
export type Chunk = {
  id: number; document: string; from: number; to: number; page: number; heading_path: string
  tokens: number; text: string
}
export type Why = { term: string; score: number; tf: number; df: number }
export type Hit = {
  chunk: number; document: string; path: string; title: string; type: string; page: number
  heading_path: string; from: number; to: number; text: string; score: number
  dense: number | null; dense_rank: number | null; bm25: number | null; bm25_rank: number | null
  why: Why[]
}
export type Method = 'hybrid' | 'dense' | 'bm25'
export type Filters = { path?: string; type?: string; tag?: string; from?: string; to?: string }
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
export type Run = {
  id: string; kind: string; name: string; status: 'running' | 'ok' | 'error' | 'interrupted'
  started: string; ended: string | null; duration_ms: number | null; error: string | null
  attributes: Record<string, unknown>
}
export type Span = {
  id: string; parent: string | null; name: string; kind: string; status: string; start_ms: number
  duration_ms: number | null; error: string | null; attributes: Record<string, unknown>
}
export type Model = {
  name: string; purpose: string; installed: boolean; loaded: boolean; is_default: boolean
  licence: string; bytes: number; sha256: string; source: string; about: string
  architecture?: string; weights?: string; parameters?: number; context?: number; dim?: number
}
export type AskBody = {
  question: string; model?: string; k?: number; method?: Method; collection?: string
  filters?: Filters; temperature?: number; seed?: number; max_tokens?: number; stream?: boolean
}
export type SearchBody = {
  query: string; k?: number; method?: Method; collection?: string; filters?: Filters
}

export interface Routes {
  'GET /api/v1/status': { query: undefined; body: undefined; reply: Status }
  'GET /api/v1/settings': { query: undefined; body: undefined; reply: { settings: Setting[] } }
  'GET /api/v1/documents': {
    query: {
      status?: string; type?: string; q?: string; collection?: string; limit?: number
      after?: string
    }
    body: undefined
    reply: { documents: Document[]; total: number; failed: number; next: string | null }
  }
  'POST /api/v1/documents': {
    query: undefined; body: FormData; reply: { documents: Ingested[] }
  }
  'PUT /api/v1/documents/by-path': {
    query: { path: string; collection?: string; tags?: string; mtime_ms?: number }
    body: undefined
    reply: Ingested
  }
  'GET /api/v1/documents/{id}': { query: undefined; body: undefined; reply: Document }
  'GET /api/v1/documents/{id}/text': { query: undefined; body: undefined; reply: DocumentText }
  'GET /api/v1/documents/{id}/chunks': {
    query: undefined; body: undefined; reply: { chunks: Chunk[] }
  }
  'GET /api/v1/documents/{id}/content': { query: undefined; body: undefined; reply: undefined }
  'DELETE /api/v1/documents/{id}': {
    query: undefined; body: undefined; reply: { deleted: boolean }
  }
  'POST /api/v1/search': {
    query: undefined; body: SearchBody; reply: { hits: Hit[]; run: string; took_ms: number }
  }
  'POST /api/v1/ask': { query: undefined; body: AskBody; reply: Answer }
  'GET /api/v1/runs': {
    query: { kind?: string; status?: string; limit?: number; after?: string }
    body: undefined
    reply: { runs: Run[]; next: string | null }
  }
  'GET /api/v1/runs/{id}': { query: undefined; body: undefined; reply: { run: Run; spans: Span[] } }
  'GET /api/v1/models': { query: undefined; body: undefined; reply: { models: Model[] } }
  'POST /api/v1/models/pull': {
    query: undefined; body: { model: string; name?: string }; reply: unknown
  }
  'DELETE /api/v1/models/{name}': {
    query: undefined; body: undefined; reply: { deleted: boolean }
  }
}
