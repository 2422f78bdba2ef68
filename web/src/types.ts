// The shapes of the API are generated from the route tables (`npm run types`); here stand the names
// that the page gives to parts of them.
import type { Document, Hit, Outcome, Routes } from './types.gen'

export type { Answer, ApiKey, Artifact, ArtifactFact, ArtifactVersion, AuditRecord, BestSentence, Block,
  Card, CardField, Collection, CollectionDiff, CollectionItem, CollectionJob, CollectionVersion, CollectionMap, CollectionMapState, HitShare,
  Chunk, Citation, Curation, CurationCase, CurationState, Document, Filters, Hit, LineageEdge, LineageNode, Me, Member, Method, Model, ModelLive, PromotionGate,
  Role, Routes, Run, Setting, Source, Span, Status, User } from './types.gen'
export type { Feedback, Log, Trace, TraceMessage, TraceSpan, TraceSpanDetail, TraceView } from './types.gen'

export type Problem = { code: string; message: string }
export type Ingested = Document & Outcome
export type DocumentText = Routes['GET /api/v1/documents/{id}/text']['reply']
export type Passage = Hit & { n: number }
export type { RowsDiff, RunData, RunDataDelta, TrackedRun, TreeFile } from './types.gen'
