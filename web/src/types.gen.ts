// Generated from the route tables by `croft api typescript`; do not edit.

export type AuditRecord = { seq: number; time: string; actor_id: (string | null); actor: string; project: string; action: string; subject: string; detail: unknown; hash: string };
export type Me = { name: string; display: string; kind: ("person" | "service" | "local"); method: ("open" | "local" | "session" | "key"); project: (string | null); permissions: (string)[]; everywhere: (string)[]; projects: (string)[]; password: boolean };
export type ApiKey = { id: string; user: string; name: string; prefix: string; project: (string | null); permissions: ((string)[] | null); created: string; expires: (string | null); revoked: (string | null); used: (string | null); state: ("valid" | "expired" | "revoked") };
export type User = { id: string; name: string; display: string; kind: ("person" | "service"); disabled: boolean; password: boolean; role: (string | null); projects: ({ project: string; role: string })[]; created: string };
export type Permission = { name: string; about: string; everywhere: boolean };
export type Role = { name: string; about: string; builtin: boolean; permissions: (string)[]; rules: string };
export type Project = { name: string; about: string; archived: boolean; role: (string | null) };
export type Member = { user: string; display: string; kind: ("person" | "service"); role: string; rules: string; everywhere: boolean };
export type Secret = { name: string; hint: (string | null); key_id: string; readable: boolean; created: string; updated: string; updated_by: string };
export type LoginProvider = { name: string; title: string; login: string };
export type ArtifactAlias = { alias: string; version: number; since: string; by: string; reason: string; break_glass: boolean };
export type Artifact = { id: string; kind: string; name: string; description: string; creator: string; created: string; updated: string; last_version: number; tags: Record<string, unknown>; aliases: (ArtifactAlias)[] };
export type ArtifactVersion = { artifact: string; kind: string; name: string; version: number; digest: string; source: string; run: (string | null); creator: string; created: string; description: string; bytes: number; metadata: Record<string, unknown>; deleted: boolean; tags: Record<string, unknown>; aliases: (string)[] };
export type ArtifactFact = { seq: number; version: (number | null); what: string; name: string; value: (string | null); valid: string; recorded: string; by: string; reason: string; detail: Record<string, unknown>; retracts: (number | null); hash: string };
export type PromotionRule = { id: string; kind: string; name: string; alias: string; checks: (string)[]; approvals: number; creator: string; created: string };
export type PromotionRequirement = { type: ("check" | "approval"); met: boolean; why: string; check?: string; have?: number; want?: number; result?: ArtifactFact };
export type PromotionGate = { alias: string; version: number; open: boolean; requirements: (PromotionRequirement)[]; checks: (ArtifactFact)[]; approvals: (ArtifactFact)[]; may_break_glass: boolean };
export type ArtifactSignature = { key: string; by: string; created: string; bundle: Record<string, unknown> };
export type LineageNode = { id: string; type: ("version" | "run" | "uri"); label: string; depth: number; kind?: string; name?: string; version?: number; deleted?: boolean };
export type LineageEdge = { node: string; kind: ("used" | "produced" | "derived_from"); source: string; detail: Record<string, unknown> };
export type CardField = { key: string; title: string; state: ("missing" | "measured" | "claim"); value: (string | null); from: (string | null); claim: (string | null); by: (string | null); time: (string | null) };
export type Card = { kind: string; name: string; version: number; sections: ({ name: string; title: string; fields: (CardField)[]; filled: number; of: number })[] };
export type TreeDelta = { path: string; change: ("added" | "removed" | "changed"); before: (number | null); after: (number | null); shared: number };
export type RowsStats = { type: ("number" | "boolean" | "text" | "json" | "mixed" | "empty"); values: number; missing: number; min: (number | null); max: (number | null); mean: (number | null); deviation: (number | null); length: (number | null) };
export type RowsColumn = { name: string; before: RowsStats; after: RowsStats; changed: number; shift: (number | null) };
export type RowsDiff = { format: ("csv" | "tsv" | "jsonl"); key: (string | null); before: number; after: number; same: number; added: number; removed: number; changed: number; cut: boolean; columns: (RowsColumn)[]; rows: ({ change: ("added" | "removed" | "changed"); row: string })[] };
export type TreeSum = { digest: string; files: number; bytes: number };
export type TreeFile = { path: string; sha256: string; size: number; executable?: boolean; chunks?: ({ id: string; size: number })[] };
export type Model = { name: string; purpose: ("chat" | "embed" | "rerank"); installed: boolean; loaded: boolean; is_default: boolean; licence: string; bytes: number; sha256: string; source: string; about: string; architecture?: string; weights?: string; parameters?: number; context?: number; dim?: number; base?: string; rank?: number };
export type Run = { id: string; kind: string; name: string; status: ("running" | "ok" | "error" | "interrupted"); started: string; ended: (string | null); duration_ms: (number | null); error: (string | null); attributes: Record<string, unknown> };
export type Span = { id: string; parent: (string | null); name: string; kind: string; status: ("running" | "ok" | "error" | "interrupted"); start_ms: number; duration_ms: (number | null); error: (string | null); attributes: Record<string, unknown> };
export type Experiment = { id: string; name: string; location: string; created: string; updated: string; deleted: (string | null); tags: Record<string, unknown> };
export type TrackedRun = { id: string; experiment: string; name: string; status: ("running" | "scheduled" | "ok" | "error" | "killed"); user: string; started: (string | null); ended: (string | null); deleted: (string | null); duration_ms: (number | null); params: Record<string, unknown>; tags: Record<string, unknown>; metrics: Record<string, unknown>; datasets: ({ name: string; digest: string; context: string })[] };
export type ComparedRow = { key: string; differs: boolean; values: ((string | number | null))[] };
export type RunData = { type: ("version" | "content" | "dataset" | "uri"); node: string; path: (string | null); label: string; tree: (string | null); kind?: string; name?: string; version?: number; bytes?: number; deleted?: boolean };
export type RunDataDelta = { name: string; change: ("same" | "added" | "removed" | "changed"); before: (RunData | null); after: (RunData | null); files?: (TreeDelta)[]; files_changed?: number; files_same?: number; shared?: number; fresh?: number };
export type RunCode = { command: string; seed: string; commit: string; branch: string; changed_files: number; patch: (string | null) };
export type RetentionPolicy = { delete_days: (number | null); purge_days: (number | null); rollup_days: (number | null); rollup_level: (number | null) };
export type RetentionItem = { id: string; name: string; experiment: string; action: ("delete" | "purge" | "roll_up"); since: string; policy: string; kept: (string | null); points: number; buckets: number };
export type Trace = { id: string; kind: string; name: string; status: ("running" | "ok" | "error" | "interrupted"); started: string; ended: (string | null); duration_ms: (number | null); error: (string | null); spans: number; errors: number; tokens_in: number; tokens_out: number; cost: number; attributes: Record<string, unknown> };
export type TraceSpan = { id: string; parent: (string | null); name: string; kind: string; status: ("running" | "ok" | "error" | "interrupted"); error: (string | null); start_ms: number; duration_ms: (number | null); model: (string | null); tokens_in: number; tokens_out: number; cost: number; events: number };
export type UsageLine = { day: string; model: (string | null); calls: number; errors: number; tokens_in: number; tokens_out: number; cost: number; p50_ms: (number | null); p95_ms: (number | null); p99_ms: (number | null) };
export type TraceSpanDetail = { id: string; parent: (string | null); name: string; kind: string; status: ("running" | "ok" | "error" | "interrupted"); error: (string | null); start_ms: number; duration_ms: (number | null); model: (string | null); tokens_in: number; tokens_out: number; cost: number; events: number; span_kind: string; view: TraceView; attributes: Record<string, unknown>; event_list: ({ name: string; at_ms: number; attributes: Record<string, unknown>; dropped: number })[]; logs: (Log)[]; more_logs: boolean; links: ({ trace: string; span: string; state: string; attributes: Record<string, unknown> })[]; scope: { name: string; version: string; attributes: Record<string, unknown> }; resource: Record<string, unknown>; trace_state: string; dropped: { attributes: number; events: number; links: number } };
export type TraceMessage = { role: string; parts: (Record<string, unknown>)[]; finish?: string };
export type TraceView = { messages_in?: (TraceMessage)[]; messages_out?: (TraceMessage)[]; documents?: (Record<string, unknown>)[]; tool?: Record<string, unknown>; input?: unknown; output?: unknown };
export type Feedback = { id: string; version: number; span: (string | null); name: string; kind: ("feedback" | "expectation"); value: unknown; error: (Record<string, unknown> | null); rationale: (string | null); source: ("HUMAN" | "LLM_JUDGE" | "CODE"); source_id: string; metadata: (Record<string, unknown> | null); author: string; created: string; changed: string; deleted: boolean; valid: boolean };
export type Log = { time: string; trace: (string | null); span: (string | null); severity: number; level: string; event: (string | null); body: unknown; attributes: Record<string, unknown>; service: string; scope: string };
export type EndpointState = { circuit: ("closed" | "open" | "half_open"); failures_in_a_row: number; attempts: number; failed: number; mean_ms: (number | null) };
export type Endpoint = { name: string; kind: ("openai" | "anthropic"); url: string; model: string; key_secret: (string | null); fallbacks: (string)[]; timeout_ms: number; retries: number; created: string; updated: string; created_by: string; state: EndpointState };
export type EndpointTest = { text?: string; dimensions?: number; prompt_tokens: number; completion_tokens?: number; receipt: Record<string, unknown>; ms: number };
export type ModelLive = { name: string; base?: string; purpose: ("chat" | "embed" | "rerank"); state: ("open" | "opening"); users: number; bytes: number; weight_bytes: number; kv_bytes: number; work_bytes: number; kv_tokens: number; kv_tokens_used: number; kv_tokens_max: number; running: number; running_max: number; queued: number; requests: number; preemptions: number; prompt_tokens: number; cached_tokens: number; generated_tokens: number; open_ms: number; idle_ms: number };
export type Collection = { name: string; items: number; seq: number; backend: string; lazy: boolean; spaces: ({ name: string; size: number; distance: string; kind: ("dense" | "sparse" | "multi"); idf: boolean; model: (string | null); identity: (string | null) })[]; aliases: (string)[]; keyword: (KeywordIndex | null); created: string; updated: string };
export type CollectionAlias = { name: string; collection: string; moved: string };
export type KeywordIndex = { fields: Record<string, unknown>; language: string; k1: number; fusion: { method: ("rrf" | "score"); k: number; vector: number; keyword: number; depth: number } };
export type HitShare = { rank: number; score: number; share: number };
export type CollectionMapState = { state: ("idle" | "running" | "failed"); error: (string | null); progress: ({ what: string; done: number; total: number } | null); map: (CollectionMap | null) };
export type CollectionMap = { method: ("umap" | "pca"); dims: number; space: string; mode: string; neighbours: number; min_dist: number; seed: number; took_ms: number; filter?: (Record<string, unknown> | null); share: ((number)[] | null); fields: (string)[]; clusters: ({ number: number; size: number; label: string; x: number; y: number; z?: number; bounds: (number)[] })[]; points: number; noise: number; seq: number; behind: number; made: string; data: ({ ids: ((number | string))[]; xy: string; cluster: string } | null) };
export type CollectionJob = { id: (string | null); what: ("tag" | "label" | "checked" | "delete" | "set" | "dataset"); kind: (string | null); state: ("waiting" | "running" | "done" | "failed" | "cancelled"); error: (string | null); progress: ({ what: string; done: number; total: number } | null); items: number; gone: number; seq: number; dataset: ({ name: string; version: number; digest: string; rows: number } | null); by: string; begun: (string | null); ended: (string | null) };
export type CurationState = { state: ("idle" | "running" | "failed"); error: (string | null); progress: ({ what: string; done: number; total: number } | null); result: (Curation | null) };
export type Curation = { seq: number; behind: number; made: string; took_ms: number; items: number; parameters: Record<string, unknown>; summary: Record<string, unknown>; labels: ((string | number | boolean))[]; total: number; cases: (CurationCase)[] };
export type CurationCase = { rank: number; id: (number | string); payload: Record<string, unknown>; score: number; more: number; group: (number | null); kept: boolean; of: (number | string | null); other: (Record<string, unknown> | null); given: (string | number | boolean | null); offered: (string | number | boolean | null) };
export type CollectionLimits = { recall_target: number; recall_target_own: boolean; memory_bytes: number; memory_bytes_own: boolean };
export type IndexBytes = { vectors: number; graph: number; other: number; total: number; per_search: number };
export type RecallStep = { ef: number; queries: number; recall: Interval };
export type RecallOf = { ef: number; seen: number; measured: number; now: (RecallStep | null); steps: (RecallStep)[]; past: ((RecallStep & { at: string }))[] };
export type CollectionRecall = (RecallOf & { name: string; exact: boolean; graph: ("none" | "building" | "ready"); graph_done: number; filtered: ((RecallOf & { share_min: number; share_max: number }))[] });
export type CollectionMigration = { id: string; state: ("preparing" | "ready" | "cut_over" | "rolled_back" | "dropped" | "cancelled"); space: string; from: (string | null); from_size: number; to: string; to_size: number; skip_without_text: boolean; shadow: number; total: number; done: number; embedded: number; known: number; pending: number; without_text: number; failed: number; rate: number; left_s: (number | null); stalled: (string | null); failures: ({ id: string; reason: string })[]; agreement: ({ queries: number; k: number; overlap: Interval; rbo: Interval; recent: (number)[]; passed_over: number } | null); judged: (MigrationJudged | null); begun: (string | null); ready: (string | null); cut_over: (string | null); ended: (string | null) };
export type Interval = { mean: number; low: number; high: number };
export type CollectionMigrationPlan = { from: (string | null); from_size: number; to_size: number; items: number; without_text: number; examples: string; known: number; index_bytes: number; other_index_bytes: number; stored_bytes: number };
export type CollectionItem = { id: (number | string); payload: Record<string, unknown>; vector?: Record<string, unknown> };
export type CollectionVersion = { version: number; artifact: string; digest: string; message: string; tags: (string)[]; by: string; created: string; bytes: number; seq: number; items: number; added: number; removed: number; changed: number; made_by: ("commit" | "restore" | "merge" | "push"); from: (string | null); parents: (string)[] };
export type CollectionDiff = { from: { version: string; items: number }; to: { version: string; items: number }; summary?: { added: number; removed: number; moved: number; changed: number; same: number; moved_and_changed: number; distance: { measured: number; mean: number; median: number; p95: number; max: number; edges: (number)[]; items: (number)[] } }; items: ({ id: (number | string); change: ("added" | "removed" | "moved" | "changed"); distance: (number | null); payload: boolean; before?: (Record<string, unknown> | null); after?: (Record<string, unknown> | null) })[]; next: (number | string | null) };
export type Document = { id: string; path: string; title: string; type: string; collection: string; status: ("indexed" | "failed"); error: ({ code: string; message: string } | null); warnings: (string)[]; bytes: number; pages: number; chunks: number; language: string; author: string; tags: (string)[]; sha256: string; version: number; created: (string | null); added: string; updated: string };
export type Outcome = { outcome: ("indexed" | "unchanged" | "failed"); embedded: number; reused: number };
export type Block = { kind: string; from: number; to: number; page: number; level: number };
export type Chunk = { id: number; document: string; from: number; to: number; page: number; heading_path: string; tokens: number; text: string };
export type Stages = { rewrite?: boolean; decompose?: boolean; hyde?: boolean; query_model?: string; query_timeout_ms?: number; derive_filters?: (boolean | "auto" | "rules" | "model"); diversity?: number; recency?: (boolean | { half_life_days?: number; weight?: number; field?: string }); context?: (boolean | { parent?: boolean; neighbours?: number; tokens?: number }) };
export type DerivedFilters = { type?: string; tag?: string; from?: string; to?: string; attributes?: Record<string, unknown>; by: ("rules" | "model"); words: Record<string, unknown>; dropped: boolean };
export type Trail = { searched: ({ as: ("question" | "rewritten" | "part"); text: string })[]; hypothetical_passage: (string | null); derived_filters: (DerivedFilters | null); notes: (string)[]; stages: ({ stage: string; took_ms: number; passages: number; note: (string | null) })[] };
export type Method = ("hybrid" | "dense" | "bm25");
export type Filters = { path?: string; type?: string; tag?: string; from?: string; to?: string };
export type Hit = { chunk: number; document: string; path: string; title: string; type: string; page: number; heading_path: string; from: number; to: number; text: string; score: number; dense: (number | null); dense_rank: (number | null); bm25: (number | null); bm25_rank: (number | null); rerank?: number; rank_before?: number; age?: number; pieces?: ({ chunk: number; from: number; to: number })[]; why: ({ term: string; score: number; tf: number; df: number })[] };
export type BestSentence = { n: number; text: string; score: number; document: string; page: number; from: number; to: number };
export type Citation = { n: number; status: ("verbatim" | "supported" | "unsupported"); added_by: ("model" | "check"); reason: (string | null); answer_from: number; answer_to: number; quote: string; score: number; document: string; title: string; path: string; page: number; from: number; to: number };
export type Source = { n: number; document: string; title: string; path: string; page: number; heading_path: string; quote: string; from: number; to: number };
export type Answer = (Trail & { answer: string; grounded: boolean; reason: (string | null); support: number; lead_to: number; generated: (string | null); citations: (Citation)[]; sources: (Source)[]; best: (BestSentence)[]; usage: { prompt_tokens: number; completion_tokens: number; passages_used: number }; timings: { retrieve_ms: number; prompt_ms: number; decode_ms: number; check_ms: number; total_ms: number }; document_set: (string | null); document_changes: number; model: string; run: string });
export type MigrationJudged = { name: string; queries: number; queries_without_judgement: number; metrics: ({ metric: string; from: Interval; to: Interval; difference: Interval; p: number; better: number; worse: number })[] };
export type EvalCorpus = { digest: string; name: string; collection: string; chunk_tokens: number; documents: number; failed: number; ready: boolean; updated: string };
export type AutopsyCase = { id: string; question: string; stage: string; why: string; remedy: string; document: (string | null); page: number; quote: (string | null); places: number; ranks: ({ keyword: (number | null); dense: (number | null); fused: (number | null) } | null); path: ({ stage: string; rank: (number | null) })[]; rank: (number | null); passages: number; answer: (string | null); generated: (string | null); notes: (string)[] };
export type EvalSetting = (Stages & { label?: string; method?: Method; k?: number; rerank?: (boolean | { model?: string; depth?: number; weight?: number }); weights?: { dense?: number; bm25?: number }; chunk_tokens?: number; collection?: string; filters?: Filters });
export type EvalResult = (Stages & { label: string; method: Method; k: number; rerank: ({ model: string; depth: number; weight: number } | null); dense_weight: number; chunk_tokens: number; collection: string; document_set: string; metrics: Record<string, unknown>; against_first?: Record<string, unknown>; worse?: ({ query: string; text: string; before: number; after: number })[]; took_ms: number; run: (string | null) });
export type OpenAIModel = { id: string; object: "model"; created: number; owned_by: string; root: string; parent: (string | null); purpose: ("chat" | "embed" | "rerank" | "remote") };
export type OpenAIMessage = { role: ("system" | "developer" | "user" | "assistant" | "tool" | "function"); content?: (string | ({ type: "text"; text: string })[]); name?: string; tool_call_id?: string; tool_calls?: ({ id: string; type: "function"; function: { name: string; arguments: string } })[] };
export type OpenAIFunction = { name: string; description?: string; parameters?: Record<string, unknown>; strict?: boolean };
export type OpenAIChat = { model?: string; stream?: boolean; stream_options?: { include_usage?: boolean }; n?: number; max_tokens?: number; temperature?: number; top_p?: number; top_k?: number; min_p?: number; repeat_penalty?: number; presence_penalty?: number; frequency_penalty?: number; seed?: number; stop?: (string | (string)[]); logit_bias?: Record<string, unknown>; response_format?: { type: ("text" | "json_object" | "json_schema"); json_schema?: { name: string; strict?: boolean; schema: Record<string, unknown> } }; json_schema?: Record<string, unknown>; guided_json?: (Record<string, unknown> | string); grammar?: string; guided_regex?: string; guided_grammar?: string; guided_choice?: (string)[]; structured_outputs?: { json?: (Record<string, unknown> | string); regex?: string; grammar?: string; choice?: (string)[]; json_object?: boolean }; max_completion_tokens?: number; logprobs?: boolean; top_logprobs?: number; messages: (OpenAIMessage)[]; tools?: ({ type: "function"; function: OpenAIFunction })[]; tool_choice?: (string | Record<string, unknown>); parallel_tool_calls?: boolean; functions?: (OpenAIFunction)[]; function_call?: (string | Record<string, unknown>); reasoning_effort?: string; chat_template_kwargs?: Record<string, unknown>; receipt?: boolean };
export type OpenAICompletion = { model?: string; stream?: boolean; stream_options?: { include_usage?: boolean }; n?: number; max_tokens?: number; temperature?: number; top_p?: number; top_k?: number; min_p?: number; repeat_penalty?: number; presence_penalty?: number; frequency_penalty?: number; seed?: number; stop?: (string | (string)[]); logit_bias?: Record<string, unknown>; response_format?: { type: ("text" | "json_object" | "json_schema"); json_schema?: { name: string; strict?: boolean; schema: Record<string, unknown> } }; json_schema?: Record<string, unknown>; guided_json?: (Record<string, unknown> | string); grammar?: string; guided_regex?: string; guided_grammar?: string; guided_choice?: (string)[]; structured_outputs?: { json?: (Record<string, unknown> | string); regex?: string; grammar?: string; choice?: (string)[]; json_object?: boolean }; logprobs?: number; prompt: (string | (string)[] | (number)[] | ((number)[])[]) };
export type OpenAIEmbedding = { model?: string; input: (string | (string)[] | (number)[] | ((number)[])[]); encoding_format?: ("float" | "base64"); dimensions?: number; input_type?: ("query" | "document") };
export type TokenizeRequest = { model?: string; prompt?: string; messages?: (OpenAIMessage)[]; tools?: ({ type: "function"; function: OpenAIFunction })[]; add_special_tokens?: boolean; return_token_strs?: boolean };
export type RerankRequest = { model?: string; query: string; documents?: ((string | { text: string }))[]; texts?: (string)[]; top_n?: number; return_documents?: boolean; return_text?: boolean; max_tokens_per_doc?: number; raw_scores?: boolean; truncate?: boolean };
export type AnthropicMessages = { model?: string; max_tokens?: number; system?: (string | (Record<string, unknown>)[]); messages: ({ role: ("user" | "assistant"); content: (string | (Record<string, unknown>)[]) })[]; stop_sequences?: (string)[]; temperature?: number; top_p?: number; top_k?: number; stream?: boolean; tools?: ({ name: string; description?: string; input_schema: Record<string, unknown>; strict?: boolean })[]; tool_choice?: { type: ("auto" | "any" | "tool" | "none"); name?: string; disable_parallel_tool_use?: boolean }; thinking?: { type: ("enabled" | "adaptive" | "disabled") }; output_config?: { format?: { type: "json_schema"; schema: Record<string, unknown> } } };
export type OpenAIFile = { id: string; object: "file"; bytes: number; created_at: number; expires_at: (number | null); filename: string; purpose: string; status: "processed" };
export type OpenAIUpload = { id: string; object: "upload"; bytes: number; created_at: number; filename: string; purpose: string; status: ("pending" | "completed" | "cancelled"); expires_at: number; file: (OpenAIFile | null) };
export type VectorStore = { id: string; object: "vector_store"; created_at: number; name: string; description: string; usage_bytes: number; file_counts: { in_progress: number; completed: number; failed: number; cancelled: number; total: number }; status: ("expired" | "in_progress" | "completed"); expires_after: (Record<string, unknown> | null); expires_at: (number | null); last_active_at: (number | null); metadata: Record<string, unknown> };
export type VectorStoreFile = { id: string; object: "vector_store.file"; usage_bytes: number; created_at: number; vector_store_id: string; status: ("in_progress" | "completed" | "cancelled" | "failed"); last_error: ({ code: string; message: string } | null); chunking_strategy: Record<string, unknown>; attributes: Record<string, unknown> };
export type VectorStoreBatch = { id: string; object: "vector_store.files_batch"; created_at: number; vector_store_id: string; status: ("in_progress" | "completed" | "cancelled" | "failed"); file_counts: { in_progress: number; completed: number; failed: number; cancelled: number; total: number } };
export type OpenAIBatch = { id: string; object: "batch"; endpoint: string; input_file_id: string; completion_window: string; status: string; output_file_id: (string | null); error_file_id: (string | null); created_at: number; expires_at: number; request_counts: { total: number; completed: number; failed: number }; metadata: (Record<string, unknown> | null) };
export type OpenAIItems = { object: "list"; data: (Record<string, unknown>)[]; first_id: (string | null); last_id: (string | null); has_more: boolean };
export type OpenAIResponseRequest = { model?: string; input?: (string | (Record<string, unknown>)[]); instructions?: string; previous_response_id?: string; conversation?: (string | { id: string }); tools?: ({ type: "function"; name: string; description?: string; parameters?: Record<string, unknown>; strict?: boolean })[]; tool_choice?: (string | Record<string, unknown>); parallel_tool_calls?: boolean; text?: { format?: Record<string, unknown> }; reasoning?: { effort?: string; summary?: string }; max_output_tokens?: number; temperature?: number; top_p?: number; top_logprobs?: number; seed?: number; stop?: (string | (string)[]); truncation?: ("auto" | "disabled"); include?: (string)[]; metadata?: Record<string, unknown>; store?: boolean; background?: boolean; stream?: boolean };
export type OpenAIResponse = { id: string; object: "response"; created_at: number; completed_at: (number | null); status: ("queued" | "in_progress" | "completed" | "incomplete" | "failed" | "cancelled"); background: boolean; model: string; output: (Record<string, unknown>)[]; error: ({ code: string; message: string } | null); incomplete_details: ({ reason: string } | null); previous_response_id: (string | null); conversation: ({ id: string } | null); usage: (Record<string, unknown> | null); metadata: Record<string, unknown>; croft: { run: (string | null); dropped_messages?: number } };
export type OpenAIConversation = { id: string; object: "conversation"; created_at: number; metadata: Record<string, unknown> };
export type Status = { version: string; uptime_ms: number; ready: boolean; reason: (string | null); home: (string | null); documents: number; chunks: number; failed: number; models: number; chat_model: (string | null); embed_model: (string | null) };
export type Setting = { name: string; value: string; origin: string; type: ("text" | "int" | "bytes" | "duration" | "bool" | "secret"); help: string };

export interface Routes {
  /** Sign in with name and password: sets the session's cookie. */
  "POST /api/v1/session": { query: undefined; body: { name: string; password: string }; reply: { signed_in: boolean } };
  /** Sign out. */
  "DELETE /api/v1/session": { query: undefined; body: undefined; reply: { signed_in: boolean } };
  /** Who makes this request, in which project, with which permissions. */
  "GET /api/v1/me": { query: undefined; body: undefined; reply: Me };
  /** Change one's password; ends one's other sessions. */
  "PUT /api/v1/me/password": { query: undefined; body: { old?: string; new: string }; reply: { changed: boolean } };
  /** Keys: one's own, and others' that one may manage; newest first. */
  "GET /api/v1/keys": { query: { user?: string }; body: undefined; reply: { keys: (ApiKey)[] } };
  /** Make a key: it is shown this once. */
  "POST /api/v1/keys": { query: undefined; body: { user?: string; name?: string; project?: string; permissions?: (string)[]; expires_in?: string }; reply: (ApiKey & { key: string }) };
  /** Replace a key: the old one is valid for a grace period (24h). */
  "POST /api/v1/keys/{id}/rotate": { query: undefined; body: { grace?: string }; reply: (ApiKey & { key: string }) };
  /** Revoke a key, by its id or the prefix that is shown. */
  "DELETE /api/v1/keys/{id}": { query: undefined; body: undefined; reply: { revoked: boolean } };
  /** Users and service accounts. */
  "GET /api/v1/users": { query: undefined; body: undefined; reply: { users: (User)[] } };
  /** Add a user or a service account. */
  "POST /api/v1/users": { query: undefined; body: { name: string; kind?: ("person" | "service"); display?: string; password?: string; role?: (string | null) }; reply: User };
  /** Change a user; role is the one in every project. */
  "PATCH /api/v1/users/{name}": { query: undefined; body: { display?: string; password?: string; disabled?: boolean; role?: (string | null) }; reply: User };
  /** Remove a user with memberships, keys and sessions. */
  "DELETE /api/v1/users/{name}": { query: undefined; body: undefined; reply: { done: boolean } };
  /** What roles are made of. */
  "GET /api/v1/permissions": { query: undefined; body: undefined; reply: { permissions: (Permission)[] } };
  /** Roles. */
  "GET /api/v1/roles": { query: undefined; body: undefined; reply: { roles: (Role)[] } };
  /** Make or change a role of one's own. */
  "PUT /api/v1/roles/{name}": { query: undefined; body: { about?: string; permissions: (string)[]; rules?: string }; reply: { done: boolean } };
  /** Remove a role. */
  "DELETE /api/v1/roles/{name}": { query: undefined; body: undefined; reply: { done: boolean } };
  /** The projects that one is a member of. */
  "GET /api/v1/projects": { query: undefined; body: undefined; reply: { projects: (Project)[] } };
  /** Add a project. */
  "POST /api/v1/projects": { query: undefined; body: { name: string; about?: string }; reply: { done: boolean } };
  /** Describe a project, archive it (nobody reaches it then), or bring it back. */
  "PATCH /api/v1/projects/{name}": { query: undefined; body: { about?: string; archived?: boolean }; reply: { done: boolean } };
  /** Members of the request's project. */
  "GET /api/v1/members": { query: undefined; body: undefined; reply: { project: string; members: (Member)[] } };
  /** Make a user a member of the request's project, or change the role. */
  "PUT /api/v1/members/{user}": { query: undefined; body: { role: string; rules?: string }; reply: { done: boolean } };
  /** Take a member out of the request's project. */
  "DELETE /api/v1/members/{user}": { query: undefined; body: undefined; reply: { done: boolean } };
  /** What was done, newest first. */
  "GET /api/v1/audit": { query: { actor?: string; action?: string; subject?: string; project?: string; from?: string; to?: string; before?: number; limit?: number }; body: undefined; reply: { records: (AuditRecord)[]; next: (number | null) } };
  /** The chain as JSON lines, oldest first; the last line is its head. */
  "GET /api/v1/audit/export": { query: { after?: number; limit?: number }; body: undefined; reply: undefined };
  /** Check the whole chain, and that it still holds a record that was noted. */
  "GET /api/v1/audit/verify": { query: { seq?: number; hash?: string }; body: undefined; reply: { ok: boolean; records: number; head: string; problem: (string | null) } };
  /** The project's secrets, without their values. */
  "GET /api/v1/secrets": { query: undefined; body: undefined; reply: { secrets: (Secret)[] } };
  /** Store a secret, or give it another value. */
  "PUT /api/v1/secrets/{name}": { query: undefined; body: { value: string }; reply: undefined };
  /** Remove a secret. */
  "DELETE /api/v1/secrets/{name}": { query: undefined; body: undefined; reply: undefined };
  /** Seal every secret's key with the newest master key. */
  "POST /api/v1/secrets/rotate": { query: undefined; body: undefined; reply: { key_id: string; secrets: number; rewrapped: number; old_keys: number } };
  /** The providers that one can sign in with. */
  "GET /api/v1/oidc": { query: undefined; body: undefined; reply: { providers: (LoginProvider)[] } };
  /** Sign in: sends the browser to the provider. */
  "GET /api/v1/oidc/{provider}/login": { query: { next?: string }; body: undefined; reply: undefined };
  /** Where the provider sends the browser back to. */
  "GET /api/v1/oidc/{provider}/callback": { query: { code?: string; state?: string; iss?: string; error?: string; error_description?: string }; body: undefined; reply: undefined };
  /** Sign out here; url is where the provider's session ends. */
  "POST /api/v1/oidc/{provider}/logout": { query: undefined; body: undefined; reply: { signed_in: boolean; url: (string | null) } };
  /** List artifacts by name. */
  "GET /api/v1/artifacts": { query: { kind?: string; name?: string; filter?: string; limit?: number; after?: string }; body: undefined; reply: { artifacts: (Artifact)[]; next: (string | null) } };
  /** The kinds of artifacts, and how many there are of each. */
  "GET /api/v1/artifacts/kinds": { query: undefined; body: undefined; reply: { kinds: ({ name: string; plural: string; about: string; artifacts: number })[] } };
  /** The version that a reference names, now or as of a time. */
  "GET /api/v1/artifacts/resolve": { query: { ref: string; as_of?: string; known_at?: string }; body: undefined; reply: ArtifactVersion };
  /** Check the chain of facts and the present state derived from it. */
  "POST /api/v1/artifacts/verify": { query: undefined; body: { repair?: boolean }; reply: { ok: boolean; facts: number; versions: number; first_bad_fact: (number | null); bad_versions: number; stale: number; repaired: boolean; head: string } };
  /** Make an artifact without versions. */
  "POST /api/v1/artifacts/{kind}": { query: undefined; body: { name: string; description?: string }; reply: Artifact };
  /** An artifact, now or as of a time. */
  "GET /api/v1/artifacts/{kind}/{name}": { query: { as_of?: string; known_at?: string }; body: undefined; reply: Artifact };
  /** Rename or describe an artifact. */
  "PATCH /api/v1/artifacts/{kind}/{name}": { query: undefined; body: { name?: string; description?: string }; reply: Artifact };
  /** Delete an artifact; its history stays. */
  "DELETE /api/v1/artifacts/{kind}/{name}": { query: { reason?: string }; body: undefined; reply: { deleted: boolean } };
  /** List versions, newest first. */
  "GET /api/v1/artifacts/{kind}/{name}/versions": { query: { limit?: number; before?: number; deleted?: boolean }; body: undefined; reply: { count: number; versions: (ArtifactVersion)[]; next: (number | null) } };
  /** Add a version, and the artifact when there is none. */
  "POST /api/v1/artifacts/{kind}/{name}/versions": { query: undefined; body: { digest?: string; source?: string; run?: string; description?: string; metadata?: Record<string, unknown>; bytes?: number; tags?: Record<string, unknown>; inputs?: (string)[]; reuse?: boolean }; reply: ArtifactVersion };
  /** A version by number or alias, now or as of a time. */
  "GET /api/v1/artifacts/{kind}/{name}/versions/{version}": { query: { as_of?: string; known_at?: string }; body: undefined; reply: ArtifactVersion };
  /** Describe a version. */
  "PATCH /api/v1/artifacts/{kind}/{name}/versions/{version}": { query: undefined; body: { description: string }; reply: ArtifactVersion };
  /** Delete a version; its history stays. */
  "DELETE /api/v1/artifacts/{kind}/{name}/versions/{version}": { query: { reason?: string }; body: undefined; reply: { deleted: boolean } };
  /** Set a tag of an artifact or of a version. */
  "PUT /api/v1/artifacts/{kind}/{name}/tags/{key}": { query: { version?: number }; body: { value: string }; reply: Artifact };
  /** Remove a tag. */
  "DELETE /api/v1/artifacts/{kind}/{name}/tags/{key}": { query: { version?: number }; body: undefined; reply: Artifact };
  /** Point an alias at a version, from now or from an earlier time on. */
  "PUT /api/v1/artifacts/{kind}/{name}/aliases/{alias}": { query: undefined; body: { version: number; valid?: string; reason?: string; break_glass?: boolean }; reply: Artifact };
  /** Take an alias away. */
  "DELETE /api/v1/artifacts/{kind}/{name}/aliases/{alias}": { query: { reason?: string }; body: undefined; reply: Artifact };
  /** Facts about an artifact, newest record first. */
  "GET /api/v1/artifacts/{kind}/{name}/history": { query: { what?: string; key?: string; version?: number; before?: number; limit?: number }; body: undefined; reply: { facts: (ArtifactFact)[]; next: (number | null) } };
  /** Say that a fact was wrong; it stays in the history. */
  "POST /api/v1/artifacts/{kind}/{name}/history/{seq}/retract": { query: undefined; body: { reason: string }; reply: Artifact };
  /** List what promotions need. */
  "GET /api/v1/promotion/rules": { query: undefined; body: undefined; reply: { rules: (PromotionRule)[] } };
  /** Demand checks or approvals before an alias points at a version. */
  "POST /api/v1/promotion/rules": { query: undefined; body: { kind?: string; name?: string; alias: string; checks?: (string)[]; approvals?: number }; reply: PromotionRule };
  /** End a rule. */
  "DELETE /api/v1/promotion/rules/{id}": { query: undefined; body: undefined; reply: { deleted: boolean } };
  /** What an alias still wants of a version. */
  "GET /api/v1/artifacts/{kind}/{name}/versions/{version}/promotion": { query: { alias: string }; body: undefined; reply: PromotionGate };
  /** Record the result of a check. */
  "POST /api/v1/artifacts/{kind}/{name}/versions/{version}/checks": { query: undefined; body: { name: string; verdict: ("pass" | "fail"); run?: string; expires?: string; note?: string }; reply: { checks: (ArtifactFact)[] } };
  /** Approve a version for an alias. */
  "PUT /api/v1/artifacts/{kind}/{name}/versions/{version}/approvals/{alias}": { query: undefined; body: { note?: string }; reply: PromotionGate };
  /** Take one's approval back. */
  "DELETE /api/v1/artifacts/{kind}/{name}/versions/{version}/approvals/{alias}": { query: { note?: string }; body: undefined; reply: PromotionGate };
  /** The in-toto statement about a version's files, to sign it. */
  "GET /api/v1/artifacts/{kind}/{name}/versions/{version}/statement": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Signatures of a version, as Sigstore bundles. */
  "GET /api/v1/artifacts/{kind}/{name}/versions/{version}/signatures": { query: undefined; body: undefined; reply: { signatures: (ArtifactSignature)[] } };
  /** Add a signature: a Sigstore bundle. */
  "POST /api/v1/artifacts/{kind}/{name}/versions/{version}/signatures": { query: undefined; body: Record<string, unknown>; reply: { signatures: (ArtifactSignature)[] } };
  /** Read a version's files and compare them with what was signed. */
  "POST /api/v1/artifacts/{kind}/{name}/versions/{version}/verify": { query: undefined; body: { public_key?: string }; reply: { ok: boolean; signatures: number; valid: number; files: number; bytes: number; problem: string } };
  /** Where something comes from (up), or what depends on it (down). */
  "GET /api/v1/lineage/graph": { query: { of: string; direction?: ("up" | "down"); depth?: number; nodes?: number }; body: undefined; reply: { nodes: (LineageNode)[]; edges: (LineageEdge)[]; cut: boolean } };
  /** The same graph as W3C PROV-JSON or as OpenLineage events. */
  "GET /api/v1/lineage/export": { query: { of: string; format: ("prov" | "openlineage"); direction?: ("up" | "down"); depth?: number; nodes?: number }; body: undefined; reply: unknown };
  /** Take an OpenLineage event. */
  "POST /api/v1/lineage": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Record that a run used or produced something, or that one thing is derived from another. */
  "POST /api/v1/lineage/edges": { query: undefined; body: { node: string; kind: string; source: string; detail?: Record<string, unknown> }; reply: LineageEdge };
  /** The card of a version; also as Markdown, CycloneDX or Croissant. */
  "GET /api/v1/artifacts/{kind}/{name}/versions/{version}/card": { query: { format?: ("json" | "markdown" | "cyclonedx" | "croissant") }; body: undefined; reply: Card };
  /** Claim something that is not measured. */
  "PUT /api/v1/artifacts/{kind}/{name}/versions/{version}/card/{field}": { query: undefined; body: { value: string }; reply: Card };
  /** Take a claim back. */
  "DELETE /api/v1/artifacts/{kind}/{name}/versions/{version}/card/{field}": { query: undefined; body: undefined; reply: Card };
  /** Which of these chunks has the project not uploaded yet?. */
  "POST /api/v1/trees/chunks/missing": { query: undefined; body: { ids: (string)[] }; reply: { missing: (string)[] } };
  /** Upload chunks: each as its SHA-256 (32 bytes), its size (4, least first), its bytes. */
  "POST /api/v1/trees/chunks": { query: undefined; body: undefined; reply: { stored: number } };
  /** The bytes of chunks of this project, one after the other; tree: which one they are of, for whom rules bind. */
  "POST /api/v1/trees/chunks/read": { query: undefined; body: { ids: (string)[]; tree?: string }; reply: undefined };
  /** Store a folder of this machine; server-sent events: progress, then done or error. Only without a server. */
  "POST /api/v1/trees/add": { query: undefined; body: { path: string; follow_links?: boolean }; reply: TreeSum };
  /** Remove blobs that nothing needs and that are older than the grace. */
  "POST /api/v1/trees/gc": { query: undefined; body: { grace?: string; dry_run?: boolean }; reply: { trees: number; blobs: number; bytes: number; kept: number; dry_run: boolean } };
  /** Commit a tree whose chunks the project has uploaded; the body is its canonical JSON. */
  "POST /api/v1/trees": { query: undefined; body: { croft: string; files: (TreeFile)[] }; reply: TreeSum };
  /** A tree: its files and their chunks. */
  "GET /api/v1/trees/{digest}": { query: undefined; body: undefined; reply: { croft: string; files: (TreeFile)[] } };
  /** Write a tree into a new folder of this machine; server-sent events. Only without a server. */
  "POST /api/v1/trees/{digest}/extract": { query: undefined; body: { dir: string }; reply: TreeSum };
  /** What becomes of a tree when it turns into another: files, and bytes in chunks that both have; at most 10,000 files are listed. */
  "GET /api/v1/trees/{digest}/diff/{other}": { query: undefined; body: undefined; reply: { files: (TreeDelta)[]; changed: number; same: number; shared: number; fresh: number } };
  /** What becomes of the rows of a CSV, TSV or JSON lines file of a tree in another tree: rows by a key, columns, figures of each; at most 64 MiB and 1,000,000 rows of each file are read. */
  "GET /api/v1/trees/{digest}/rows/{other}": { query: { path: string; other_path?: string; key?: string; limit?: number }; body: undefined; reply: RowsDiff };
  /** A file of a tree, or a part of it. */
  "GET /api/v1/trees/{digest}/files/{path...}": { query: { offset?: number; length?: number }; body: undefined; reply: undefined };
  /** List the models that are installed and those that are known. */
  "GET /api/v1/models": { query: undefined; body: undefined; reply: { models: (Model)[] } };
  /** Fetch a model, or with base a LoRA adapter of that model; server-sent events: progress, then done or error. */
  "POST /api/v1/models/pull": { query: undefined; body: { model: string; name?: string; base?: string }; reply: { name: string } };
  /** Remove a model. */
  "DELETE /api/v1/models/{name}": { query: undefined; body: undefined; reply: { deleted: boolean } };
  /** List runs, newest first. */
  "GET /api/v1/runs": { query: { kind?: string; status?: string; limit?: number; after?: string }; body: undefined; reply: { runs: (Run)[]; next: (string | null) } };
  /** A run with its spans. */
  "GET /api/v1/runs/{id}": { query: undefined; body: undefined; reply: { run: Run; spans: (Span)[] } };
  /** Search experiments. */
  "GET /api/v1/experiments": { query: { view?: ("active" | "deleted" | "all"); filter?: string; order_by?: string; limit?: number; page?: string }; body: undefined; reply: { experiments: (Experiment)[]; next: (string | null) } };
  /** Show an experiment. */
  "GET /api/v1/experiments/{id}": { query: undefined; body: undefined; reply: Experiment };
  /** Delete an experiment with its runs, or restore it. */
  "DELETE /api/v1/experiments/{id}": { query: { restore?: boolean }; body: undefined; reply: Record<string, unknown> };
  /** Remove for good the runs and experiments that were deleted, with their files. */
  "POST /api/v1/experiments/purge": { query: undefined; body: { days: number }; reply: { runs: number; experiments: number; kept: number } };
  /** Search the runs of an experiment. */
  "GET /api/v1/experiments/{id}/runs": { query: { view?: ("active" | "deleted" | "all"); filter?: string; order_by?: string; limit?: number; page?: string }; body: undefined; reply: { runs: (TrackedRun)[]; total: number; next: (string | null) } };
  /** The metrics, parameters and tags that its runs have. */
  "GET /api/v1/experiments/{id}/keys": { query: undefined; body: undefined; reply: { metrics: (string)[]; params: (string)[]; tags: (string)[] } };
  /** Compare runs. */
  "GET /api/v1/runs/compare": { query: { ids: string; differing?: boolean }; body: undefined; reply: { runs: (Record<string, unknown>)[]; params: (ComparedRow)[]; tags: (ComparedRow)[]; metrics: (ComparedRow)[] } };
  /** The parameters, tags and metrics of an experiment's run. */
  "GET /api/v1/runs/{id}/data": { query: undefined; body: undefined; reply: TrackedRun };
  /** Delete an experiment's run, or restore it. */
  "DELETE /api/v1/runs/{id}": { query: { restore?: boolean }; body: undefined; reply: Record<string, unknown> };
  /** A metric's points in at most so many buckets. */
  "GET /api/v1/runs/{id}/metrics/{key...}": { query: { points?: number; from?: number; to?: number; x?: ("step" | "time") }; body: undefined; reply: { key: string; x: ("step" | "time"); total: number; rolled_up: number; columns: (string)[]; buckets: (((number | null))[])[] } };
  /** What a run used and produced: versions of artifacts, content, URIs. */
  "GET /api/v1/runs/{id}/lineage": { query: undefined; body: undefined; reply: { inputs: (RunData)[]; outputs: (RunData)[] } };
  /** What differs between two runs: code, environment, and by version and file what they used and produced; at most 500 files of each are listed. */
  "GET /api/v1/runs/{id}/diff/{other}": { query: undefined; body: undefined; reply: { code: { before: (RunCode | null); after: (RunCode | null) }; environment: (string)[]; inputs: (RunDataDelta)[]; outputs: (RunDataDelta)[] } };
  /** How long runs of experiments are kept. */
  "GET /api/v1/retention": { query: undefined; body: undefined; reply: { settings: RetentionPolicy; project: { policy: RetentionPolicy; effective: RetentionPolicy }; experiments: ({ experiment: string; policy: RetentionPolicy; effective: RetentionPolicy })[] } };
  /** Set how long runs are kept, in the project or in one experiment; null inherits. */
  "PUT /api/v1/retention": { query: undefined; body: { experiment?: string; delete_days?: (number | null); purge_days?: (number | null); rollup_days?: (number | null); rollup_level?: (number | null) }; reply: { policy: RetentionPolicy } };
  /** What the policies would do now, or at a time; nothing is changed. */
  "GET /api/v1/retention/plan": { query: { at?: string }; body: undefined; reply: { at: string; runs: (RetentionItem)[]; counts: { delete: number; purge: number; roll_up: number; experiments: number; kept: number; points: number; buckets: number }; more: boolean } };
  /** Carry the policies out now. */
  "POST /api/v1/retention/run": { query: undefined; body: undefined; reply: { counts: { delete: number; purge: number; roll_up: number; experiments: number; kept: number; points: number; buckets: number } } };
  /** Runs on hold, newest first. */
  "GET /api/v1/retention/holds": { query: { before?: string }; body: undefined; reply: { holds: ({ run: string; name: string; reason: string; who: string; since: string })[] } };
  /** Put a run on hold: nothing removes it. */
  "PUT /api/v1/runs/{id}/hold": { query: undefined; body: { reason?: string }; reply: Record<string, unknown> };
  /** Release a run from hold. */
  "DELETE /api/v1/runs/{id}/hold": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** List traces, newest first. */
  "GET /api/v1/traces": { query: { q?: string; filter?: string; order_by?: string; status?: string; kind?: string; since?: string; until?: string; limit?: number; after?: string }; body: undefined; reply: { traces: (Trace)[]; next: (string | null) } };
  /** Calls, errors, tokens, cost and times by day and model; model null: whole traces. */
  "GET /api/v1/traces/usage": { query: { since?: string; until?: string; model?: string }; body: undefined; reply: { usage: (UsageLine)[]; more: boolean } };
  /** Spans as they open and close, as server-sent events. */
  "GET /api/v1/traces/live": { query: undefined; body: undefined; reply: undefined };
  /** A trace: its spans, tags and feedback. */
  "GET /api/v1/traces/{id}": { query: undefined; body: undefined; reply: { trace: Trace; spans: (TraceSpan)[]; logs: number; tags: Record<string, unknown>; metadata: Record<string, unknown>; feedback: (Feedback)[] } };
  /** Delete a trace. */
  "DELETE /api/v1/traces/{id}": { query: undefined; body: undefined; reply: undefined };
  /** A span: messages, documents, attributes, events, links. */
  "GET /api/v1/traces/{id}/spans/{span}": { query: undefined; body: undefined; reply: TraceSpanDetail };
  /** Feedback on a run; with history every version. */
  "GET /api/v1/runs/{id}/feedback": { query: { history?: boolean }; body: undefined; reply: { feedback: (Feedback)[] } };
  /** Give feedback on a run or one of its spans. */
  "POST /api/v1/runs/{id}/feedback": { query: undefined; body: { name?: string; value?: unknown; span?: string; kind?: ("feedback" | "expectation"); rationale?: string; source?: ("HUMAN" | "LLM_JUDGE" | "CODE"); source_id?: string; metadata?: Record<string, unknown> }; reply: Feedback };
  /** Change feedback; earlier versions are kept. */
  "PATCH /api/v1/runs/{id}/feedback/{feedback}": { query: undefined; body: { name?: string; value?: unknown; span?: string; kind?: ("feedback" | "expectation"); rationale?: string; source?: ("HUMAN" | "LLM_JUDGE" | "CODE"); source_id?: string; metadata?: Record<string, unknown> }; reply: Feedback };
  /** Take feedback back; it stays in the history. */
  "DELETE /api/v1/runs/{id}/feedback/{feedback}": { query: undefined; body: undefined; reply: undefined };
  /** List log records, newest first. */
  "GET /api/v1/logs": { query: { q?: string; level?: string; span?: string; since?: string; until?: string; limit?: number; after?: string }; body: undefined; reply: { logs: (Log)[]; next: (string | null) } };
  /** The log records of a run, oldest first. */
  "GET /api/v1/runs/{id}/logs": { query: { q?: string; level?: string; span?: string; since?: string; until?: string; limit?: number; after?: string }; body: undefined; reply: { logs: (Log)[]; next: (string | null) } };
  /** The remote providers and how they are. */
  "GET /api/v1/endpoints": { query: undefined; body: undefined; reply: { endpoints: (Endpoint)[] } };
  /** Put a remote provider behind a name. */
  "POST /api/v1/endpoints": { query: undefined; body: { name: string; url: string; model: string; kind?: ("openai" | "anthropic"); key_secret?: string; fallbacks?: (string)[]; timeout_ms?: number; retries?: number }; reply: Endpoint };
  /** Show a remote provider. */
  "GET /api/v1/endpoints/{name}": { query: undefined; body: undefined; reply: Endpoint };
  /** Add a remote provider, or replace all that is said of it. */
  "PUT /api/v1/endpoints/{name}": { query: undefined; body: { url: string; model: string; kind?: ("openai" | "anthropic"); key_secret?: string; fallbacks?: (string)[]; timeout_ms?: number; retries?: number }; reply: Endpoint };
  /** Remove a remote provider. */
  "DELETE /api/v1/endpoints/{name}": { query: undefined; body: undefined; reply: undefined };
  /** Ask a remote provider something: one attempt, no fallback. */
  "POST /api/v1/endpoints/{name}/test": { query: { what?: ("chat" | "embed") }; body: undefined; reply: EndpointTest };
  /** What the open models do and take now; clock_ms is for rates between two of these. */
  "GET /api/v1/models/live": { query: undefined; body: undefined; reply: { clock_ms: number; memory_bytes: number; models: (ModelLive)[]; used_bytes: number } };
  /** What a model would take beside its file, from the file's header alone: with the settings, or with those given here. */
  "GET /api/v1/models/{name}/plan": { query: { context_tokens?: number; sequences?: number; kv_tokens?: number; kv_type?: ("f16" | "q8") }; body: undefined; reply: { name: string; purpose: ("chat" | "embed" | "rerank"); architecture: string; weights: string; parameters: number; file_bytes: number; mapped_bytes: number; weight_bytes: number; pass_bytes: number; threads: number; thread_bytes: number; context_tokens: number; context_tokens_max: number; sequences: number; kv_type: ("f16" | "q8"); kv_token_bytes: number; kv_tokens: number; kv_bytes: number; drafting_bytes: number; total_bytes: number; least_bytes: number; memory_bytes: number; used_bytes: number; open: boolean; fits: ("now" | "after_closing" | "not_now" | "never") } };
  /** Open a model, closing others that nobody uses when memory is short. */
  "POST /api/v1/models/{name}/load": { query: undefined; body: undefined; reply: { loaded: boolean } };
  /** Close a model that nobody uses. */
  "POST /api/v1/models/{name}/unload": { query: undefined; body: undefined; reply: { loaded: boolean } };
  /** Measure how fast a local model (default: the default one) reads and writes. */
  "POST /api/v1/models/{name}/bench": { query: undefined; body: { streams?: number; prompt_tokens?: number; tokens?: number }; reply: { model: string; weights: string; parameters: number; streams: number; streams_max: number; prompt_tokens: number; tokens: number; read_tokens_per_s: number; written_tokens_per_s: number; first_token_ms: number } };
  /** List the collections of vectors. */
  "GET /api/v1/collections": { query: undefined; body: undefined; reply: { collections: (Collection)[] } };
  /** One collection. */
  "GET /api/v1/collections/{name}": { query: undefined; body: undefined; reply: Collection };
  /** Make a collection: {size, distance} for vectors that are brought along, {model} for texts; or an object of such under names. */
  "PUT /api/v1/collections/{name}": { query: undefined; body: { vectors?: Record<string, unknown>; sparse_vectors?: Record<string, unknown>; keyword?: Record<string, unknown>; backend?: ("embedded" | "pgvector") }; reply: Collection };
  /** Delete a collection. */
  "DELETE /api/v1/collections/{name}": { query: undefined; body: undefined; reply: { deleted: boolean } };
  /** The other names of collections: of all, or of one. */
  "GET /api/v1/collection-aliases": { query: { collection?: string }; body: undefined; reply: { aliases: (CollectionAlias)[] } };
  /** Several changes of aliases, all of them at one moment or none. */
  "POST /api/v1/collection-aliases": { query: undefined; body: { changes: ({ set?: string; collection?: string; delete?: string; rename?: string; to?: string })[] }; reply: { aliases: (CollectionAlias)[] } };
  /** Make an alias, or move it to another collection. */
  "PUT /api/v1/collection-aliases/{alias}": { query: undefined; body: { collection: string }; reply: { aliases: (CollectionAlias)[] } };
  /** Delete an alias. */
  "DELETE /api/v1/collection-aliases/{alias}": { query: undefined; body: undefined; reply: { aliases: (CollectionAlias)[] } };
  /** Keep its vectors elsewhere: in the memory of the servers or in PostgreSQL by pgvector; as a whole or not at all, and it can be used meanwhile. */
  "POST /api/v1/collections/{name}/move": { query: undefined; body: { backend: ("embedded" | "pgvector") }; reply: Collection };
  /** Items in the order of their ids. */
  "GET /api/v1/collections/{name}/items": { query: { limit?: number; from?: string; vectors?: boolean; as_of?: string }; body: undefined; reply: { items: (CollectionItem)[]; next: (number | string | null); seq: number; version: (number | null); artifact: (string | null) } };
  /** Insert or replace items; a text is embedded with the model of the collection. */
  "PUT /api/v1/collections/{name}/items": { query: undefined; body: { items: ({ id: (number | string); vector?: Record<string, unknown>; text?: string; payload?: Record<string, unknown> })[] }; reply: { seq: number; items: number } };
  /** Delete items. */
  "POST /api/v1/collections/{name}/items/delete": { query: undefined; body: { ids?: ((number | string))[]; filter?: Record<string, unknown> }; reply: { seq: number; deleted: number } };
  /** The items nearest to a text, a vector or another item; by its words, or by both. */
  "POST /api/v1/collections/{name}/search": { query: undefined; body: { text?: string; vector?: ((number)[] | ((number)[])[] | Record<string, unknown>); id?: (number | string); mode?: ("vector" | "keyword" | "hybrid"); fusion?: Record<string, unknown>; space?: string; filter?: Record<string, unknown>; k?: number; worst?: number; ef?: number; exact?: boolean; as_of?: (number | string); formula?: (number | string | Record<string, unknown>); defaults?: Record<string, unknown>; candidates?: number; vectors?: boolean }; reply: { hits: ((CollectionItem & { score: number; sources?: { vector: (HitShare | null); keyword: (HitShare | null) } }))[]; mode: string; exact: boolean; compared: number; cut: boolean; took_ms: number; seq: number; version: (number | null); artifact: (string | null) } };
  /** Search the texts of some fields by words too; the weights say what a field counts. */
  "PUT /api/v1/collections/{name}/keyword": { query: undefined; body: { fields: Record<string, unknown>; language?: string; k1?: number; fusion?: { method?: ("rrf" | "score"); k?: number; vector?: number; keyword?: number; depth?: number } }; reply: KeywordIndex };
  /** Drop the index of words. */
  "DELETE /api/v1/collections/{name}/keyword": { query: undefined; body: undefined; reply: { deleted: boolean } };
  /** The map of a collection, and how far one is that is being made; data=false leaves the points out. */
  "GET /api/v1/collections/{name}/map": { query: { data?: boolean }; body: undefined; reply: CollectionMapState };
  /** Begin to make a map; mode align starts from the places of the present one, extend adds the new items to it. */
  "POST /api/v1/collections/{name}/map": { query: undefined; body: { method?: ("umap" | "pca"); dims?: number; mode?: ("new" | "align" | "extend"); space?: string; label_field?: string; neighbours?: number; min_dist?: number; cluster_min?: number; seed?: number; filter?: Record<string, unknown> }; reply: CollectionMapState };
  /** Stop the map that is being made, or delete the one that is there. */
  "DELETE /api/v1/collections/{name}/map": { query: undefined; body: undefined; reply: { stopped: boolean; deleted: boolean } };
  /** How often each point of the map was among the hits of searches: base64 of f32. */
  "GET /api/v1/collections/{name}/map/traffic": { query: undefined; body: undefined; reply: { values: string; total: number; items: number; most: number } };
  /** A field of the payload for each point of the map: base64 of f32 (NaN: none) for numbers, of i32 (-1: none, -2: another) for categories. */
  "GET /api/v1/collections/{name}/map/field": { query: { name: string }; body: undefined; reply: { kind: ("number" | "category"); categories: ({ value: string; items: number })[]; values: string } };
  /** What curation found last (duplicates, outliers, sample, propagate, mislabelled, balance), a page of it, and how far one is that runs; of duplicates limit counts groups. */
  "GET /api/v1/collections/{name}/curate/{kind}": { query: { from?: number; limit?: number }; body: undefined; reply: CurationState };
  /** Begin to look for duplicates, outliers, a sample, labels, wrong labels, or the balance of classes. */
  "POST /api/v1/collections/{name}/curate/{kind}": { query: undefined; body: { threshold?: number; keep?: ("first" | "last" | "centre" | "longest" | "highest"); keep_field?: string; label?: string; scores?: string; method?: ("lof" | "distance" | "centre" | "uncertain" | "joint" | "noise_rate"); neighbours?: number; share?: number; count?: number; alpha?: number; holdout?: number; seed?: number; diverse?: boolean; exact?: boolean; space?: string; filter?: Record<string, unknown> }; reply: CurationState };
  /** Stop what is being looked for, or delete the last result. */
  "DELETE /api/v1/collections/{name}/curate/{kind}": { query: undefined; body: undefined; reply: { stopped: boolean; deleted: boolean } };
  /** Write what was found into the items: a tag, the label that is offered, that the label was checked; or delete them. Without ids all of them. */
  "POST /api/v1/collections/{name}/curate/{kind}/apply": { query: undefined; body: { action?: ("tag" | "label" | "checked" | "delete"); field?: string; ids?: ((number | string))[] }; reply: CollectionJob };
  /** Make a version of a dataset: the items that were found, the rest, or all with what was found in a field. */
  "POST /api/v1/collections/{name}/curate/{kind}/dataset": { query: undefined; body: { dataset: string; items?: ("rest" | "found" | "all"); field?: string; vectors?: boolean; description?: string }; reply: CollectionJob };
  /** Set a field of the payloads of items, named or those that match a filter: a tag, a label; a job that survives the server. */
  "POST /api/v1/collections/{name}/bulk/set": { query: undefined; body: { field: string; value: unknown; ids?: ((number | string))[]; filter?: Record<string, unknown> }; reply: CollectionJob };
  /** Make a version of a dataset of items, named or those that match a filter. */
  "POST /api/v1/collections/{name}/bulk/dataset": { query: undefined; body: { dataset: string; ids?: ((number | string))[]; filter?: Record<string, unknown>; items?: ("rest" | "found"); vectors?: boolean; description?: string }; reply: CollectionJob };
  /** Jobs on many items, the newest first. */
  "GET /api/v1/collections/{name}/bulk": { query: undefined; body: undefined; reply: { jobs: (CollectionJob)[] } };
  /** How far a job is. */
  "GET /api/v1/collections/{name}/bulk/{job}": { query: undefined; body: undefined; reply: CollectionJob };
  /** Cancel a job; what it has done stays. */
  "DELETE /api/v1/collections/{name}/bulk/{job}": { query: undefined; body: undefined; reply: CollectionJob };
  /** Change what a collection is held to: recall of its searches, memory of its indexes; null: as the settings say. */
  "PATCH /api/v1/collections/{name}": { query: undefined; body: { recall_target?: (number | null); memory_bytes?: (number | null) }; reply: CollectionLimits };
  /** Recall of sampled live queries against exact searches, at the present effort and others, and as it was. */
  "GET /api/v1/collections/{name}/recall": { query: undefined; body: undefined; reply: (CollectionLimits & { spaces: (CollectionRecall)[] }) };
  /** Bytes of the indexes of a collection; more: with so many more items. */
  "GET /api/v1/collections/{name}/memory": { query: { more?: number }; body: undefined; reply: { limit: number; total: number; total_with_more: number; payloads: number; ids: number; words: number; other_vectors: number; versions: number; machine: number; spaces: ((IndexBytes & { name: string; items: number }))[] } };
  /** Bytes of an index before it is built. */
  "GET /api/v1/collection-plan": { query: { items: number; dim: number; distance?: string }; body: undefined; reply: (IndexBytes & { items: number; dim: number; distance: string; stored: number; limit: number; machine: number; fits: boolean }) };
  /** How far the moves of a collection to other embedding models are, the newest first. */
  "GET /api/v1/collections/{name}/migrations": { query: undefined; body: undefined; reply: { migrations: (CollectionMigration)[] } };
  /** Begin to embed a collection with another model while it is in use; plan: only say what it takes. */
  "POST /api/v1/collections/{name}/migrations": { query: undefined; body: { to: string; space?: string; field?: string; skip_without_text?: boolean; shadow?: number; plan?: boolean }; reply: { id: (string | null); plan: CollectionMigrationPlan } };
  /** Answer from the new space from now on. */
  "POST /api/v1/collections/{name}/migrations/cutover": { query: undefined; body: { id?: string; skip_failed?: boolean }; reply: { migrations: (CollectionMigration)[] } };
  /** Answer from the former space again. */
  "POST /api/v1/collections/{name}/migrations/back": { query: undefined; body: { id?: string }; reply: { migrations: (CollectionMigration)[] } };
  /** Drop the space that does not answer: after a cut-over the former one. */
  "POST /api/v1/collections/{name}/migrations/drop": { query: undefined; body: { id?: string }; reply: { migrations: (CollectionMigration)[] } };
  /** Give a migration up that has not been cut over. */
  "POST /api/v1/collections/{name}/migrations/cancel": { query: undefined; body: { id?: string }; reply: { migrations: (CollectionMigration)[] } };
  /** The versions of a collection, newest first, and where its live items stand: head is the version that they came from; state is null when the collection was deleted. */
  "GET /api/v1/collections/{name}/versions": { query: { limit?: number; before?: number }; body: undefined; reply: { versions: (CollectionVersion)[]; next: (number | null); state: ({ seq: number; items: number; head: (string | null); head_seq: (number | null); changed: boolean; lazy: boolean; origin: (string | null) } | null) } };
  /** Make a version of what is in the collection now; made is false when nothing has changed since the last one. With compact its data has nothing of items that only earlier versions have. */
  "POST /api/v1/collections/{name}/versions": { query: undefined; body: { message?: string; tag?: string; compact?: boolean }; reply: (CollectionVersion & { made: boolean }) };
  /** A version by its number, a tag, a time, or head. */
  "GET /api/v1/collections/{name}/versions/{version}": { query: undefined; body: undefined; reply: CollectionVersion };
  /** Delete a version; what no other one needs is collected later. */
  "DELETE /api/v1/collections/{name}/versions/{version}": { query: undefined; body: undefined; reply: { deleted: boolean } };
  /** The items become those of a version, in one step, which is a new version itself; what had changed is kept as a version before, unless discard. */
  "POST /api/v1/collections/{name}/restore": { query: undefined; body: { version: (number | string); message?: string; discard?: boolean }; reply: (CollectionVersion & { made: boolean; kept: (number | null); filling: boolean }) };
  /** A new collection that begins with the items of a version (absent: of now). It has no rows of its own before it is written to or searched by its index. */
  "POST /api/v1/collections/{name}/copy": { query: undefined; body: { to: string; from?: (number | string) }; reply: { name: string; items: number; origin: string } };
  /** The same, but it remembers where it comes from and can be merged back. */
  "POST /api/v1/collections/{name}/branch": { query: undefined; body: { to: string; from?: (number | string) }; reply: { name: string; items: number; origin: string } };
  /** What becomes of one version (from; absent: the last) in another (to; absent: what is there now). distance is the cosine distance by which an item's vector moved, that of the space where it is largest; summary comes with the first page. After: the id behind which a list by id goes on; skip: the same for sort=distance. */
  "GET /api/v1/collections/{name}/diff": { query: { from?: string; to?: string; change?: string; sort?: ("id" | "distance"); limit?: number; after?: string; skip?: number; payloads?: boolean }; body: undefined; reply: CollectionDiff };
  /** Merge a collection, or a version of one (from: "name:3"), into this one: what only one side has changed since their common version is taken, field by field, what both have changed otherwise is a conflict, named by a JSON pointer (/payload/price, /vector, /text; "" is the item). With conflicts that neither resolve ({ID: side} or {ID: {field: side}}) nor prefer decides nothing is changed. */
  "POST /api/v1/collections/{name}/merge": { query: undefined; body: { from: string; prefer?: ("ours" | "theirs"); resolve?: Record<string, unknown>; dry_run?: boolean; message?: string; limit?: number; skip?: number }; reply: { merged: boolean; nothing: boolean; filling: boolean; base: (string | null); from: string; kept: (number | null); added: number; removed: number; changed: number; combined: number; version: (CollectionVersion | null); conflicts: { count: number; resolved: number; items: ({ id: (number | string); field: string; ours: string; theirs: string; values: (Record<string, unknown> | null) })[] } } };
  /** How many items there are, or match a filter; as_of: in that version. */
  "POST /api/v1/collections/{name}/count": { query: undefined; body: { filter?: Record<string, unknown>; as_of?: (number | string) }; reply: { count: number; seq: number; version: (number | null); artifact: (string | null) } };
  /** List documents, newest first. */
  "GET /api/v1/documents": { query: { status?: string; type?: string; q?: string; collection?: string; limit?: number; after?: string }; body: undefined; reply: { documents: (Document)[]; total: number; failed: number; next: (string | null) } };
  /** Upload and index files. */
  "POST /api/v1/documents": { query: undefined; body: { file: Blob; collection?: string; tags?: string }; reply: { documents: ((Document & Outcome))[] } };
  /** Index one file, sent as the body, under a path. */
  "PUT /api/v1/documents/by-path": { query: { path: string; collection?: string; tags?: string; mtime_ms?: number }; body: undefined; reply: (Document & Outcome) };
  /** Say which files of a tree must be sent or hashed; remove those that are gone. */
  "POST /api/v1/ingest/plan": { query: undefined; body: { collection?: string; roots: (string)[]; prune?: boolean; files: ({ path: string; bytes: number; mtime_ms: number; sha256?: string })[] }; reply: { upload: (string)[]; hash: (string)[]; unchanged: number; removed: (string)[]; failed: ({ path: string; code: string; message: string })[] } };
  /** Make a version of the collection's document set now, unless the newest is the same. */
  "POST /api/v1/ingest/commit": { query: undefined; body: { collection?: string }; reply: { document_set: (string | null); made: boolean } };
  /** One document. */
  "GET /api/v1/documents/{id}": { query: undefined; body: undefined; reply: Document };
  /** Its extracted text and blocks. */
  "GET /api/v1/documents/{id}/text": { query: undefined; body: undefined; reply: { document: Document; text: string; blocks: (Block)[] } };
  /** Its chunks. */
  "GET /api/v1/documents/{id}/chunks": { query: undefined; body: undefined; reply: { chunks: (Chunk)[] } };
  /** The original bytes. */
  "GET /api/v1/documents/{id}/content": { query: undefined; body: undefined; reply: undefined };
  /** Delete a document and everything of it that can be found. */
  "DELETE /api/v1/documents/{id}": { query: undefined; body: undefined; reply: { deleted: boolean } };
  /** Find passages. */
  "POST /api/v1/search": { query: undefined; body: ({ query: string; k?: number; method?: Method; collection?: string; filters?: Filters; rerank?: (boolean | { model?: string; depth?: number; weight?: number }); weights?: { dense?: number; bm25?: number } } & Stages); reply: (Trail & { hits: (Hit)[]; document_set: (string | null); document_changes: number; run: string; took_ms: number }) };
  /** Answer a question from the documents; events run, passages, best, token..., answer. */
  "POST /api/v1/ask": { query: undefined; body: ({ question: string; model?: string; k?: number; method?: Method; collection?: string; filters?: Filters; rerank?: (boolean | { model?: string; depth?: number; weight?: number }); weights?: { dense?: number; bm25?: number }; temperature?: number; seed?: number; max_tokens?: number; stream?: boolean } & Stages); reply: (Answer & { passages: ((Hit & { n: number }))[] }) };
  /** Corpora that evaluation keeps. */
  "GET /api/v1/eval/corpora": { query: undefined; body: undefined; reply: { corpora: (EvalCorpus)[] } };
  /** One of them, as it is cut into chunks. */
  "GET /api/v1/eval/corpora/{digest}": { query: { chunk_tokens?: number }; body: undefined; reply: EvalCorpus };
  /** Add documents to a corpus; done says that these are the last. */
  "POST /api/v1/eval/corpora/{digest}": { query: undefined; body: { name?: string; chunk_tokens?: number; first?: boolean; done?: boolean; documents: ({ id: string; title?: string; text: string })[] }; reply: EvalCorpus };
  /** Remove a corpus, however it was cut. */
  "DELETE /api/v1/eval/corpora/{digest}": { query: undefined; body: undefined; reply: { collections: number; documents: number } };
  /** Measure retrieval on judged queries; events progress, result. */
  "POST /api/v1/eval/retrieval": { query: undefined; body: { name?: string; digest?: string; experiment?: string; seed?: number; resamples?: number; queries: ({ id: string; text: string })[]; qrels: (((string | number))[])[]; settings?: (EvalSetting)[]; tune?: { trials?: number; collection?: string; chunk_tokens?: (number)[]; rerank?: { model?: string; models?: (string)[]; depths: (number)[]; weights?: (number)[] }; stages?: (string)[]; query_model?: string; diversity?: (number)[]; half_life_days?: (number)[] } }; reply: { name: string; queries: number; queries_without_judgement: number; judged_documents: number; judged_documents_never_found: number; seed: number; resamples: number; model: string; space: string; experiment: (number | null); settings: (EvalResult)[]; queries_to_tune?: number; trials?: (Record<string, unknown>)[]; configuration?: Record<string, unknown>; query?: Record<string, unknown>; pairs: { read: number; kept: number } } };
  /** Answer judged queries in both spaces of a migration and compare the measures; the migration keeps the result. */
  "POST /api/v1/collections/{name}/migrations/judge": { query: undefined; body: { name?: string; space?: string; queries: ({ id: string; text: string })[]; qrels: (((string | number))[])[] }; reply: MigrationJudged };
  /** For questions with known answers, the stage that lost them; events progress, result. */
  "POST /api/v1/eval/autopsy": { query: undefined; body: ({ questions: ({ id?: string; question: string; answer?: string; answers?: ((string | Record<string, unknown>))[]; document?: string; passage?: string })[]; generate?: boolean; model?: string; digest?: string; k?: number; method?: Method; collection?: string; filters?: Filters; rerank?: (boolean | { model?: string; depth?: number; weight?: number }); weights?: { dense?: number; bm25?: number } } & Stages); reply: { questions: number; documents: number; generated: boolean; stages: ({ stage: string; questions: number; remedy: string; examples: (string)[] })[]; cases: (AutopsyCase)[]; run: string; took_ms: number } };
  /** List the installed models. */
  "GET /v1/models": { query: undefined; body: undefined; reply: { object: "list"; data: (OpenAIModel)[] } };
  /** Show an installed model. */
  "GET /v1/models/{id...}": { query: undefined; body: undefined; reply: OpenAIModel };
  /** Answer a conversation; with stream, as server-sent events. */
  "POST /v1/chat/completions": { query: undefined; body: OpenAIChat; reply: Record<string, unknown> };
  /** Continue a text; with stream, as server-sent events. */
  "POST /v1/completions": { query: undefined; body: OpenAICompletion; reply: Record<string, unknown> };
  /** Embed texts. */
  "POST /v1/embeddings": { query: undefined; body: OpenAIEmbedding; reply: Record<string, unknown> };
  /** Store OpenTelemetry spans (OTLP/HTTP, protobuf or JSON). */
  "POST /v1/traces": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** The same, where Langfuse's clients send it. */
  "POST /api/public/otel/v1/traces": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Store OpenTelemetry log records (OTLP/HTTP, protobuf or JSON). */
  "POST /v1/logs": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Refused: OpenTelemetry metrics are not taken. */
  "POST /v1/metrics": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** MLflow: report a trace. */
  "POST /api/3.0/mlflow/traces": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: a trace with its spans. */
  "GET /api/3.0/mlflow/traces/get": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: several traces with their spans. */
  "GET /api/3.0/mlflow/traces/batchGet": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: several traces without their spans. */
  "POST /api/3.0/mlflow/traces/batchGetInfos": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: search traces. */
  "POST /api/3.0/mlflow/traces/search": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: a trace without its spans. */
  "GET /api/3.0/mlflow/traces/{trace_id}": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: set a tag of a trace. */
  "PATCH /api/2.0/mlflow/traces/{trace_id}/tags": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: set a tag of a trace. */
  "PATCH /api/3.0/mlflow/traces/{trace_id}/tags": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: remove a tag of a trace. */
  "DELETE /api/2.0/mlflow/traces/{trace_id}/tags": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: remove a tag of a trace. */
  "DELETE /api/3.0/mlflow/traces/{trace_id}/tags": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: delete traces. */
  "POST /api/2.0/mlflow/traces/delete-traces": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: delete traces. */
  "POST /api/3.0/mlflow/traces/delete-traces": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: link traces to a run. */
  "POST /api/2.0/mlflow/traces/link-to-run": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: link prompts to a trace. */
  "POST /api/2.0/mlflow/traces/link-prompts": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: link prompts to a trace. */
  "POST /api/3.0/mlflow/traces/link-prompts": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: assess a trace. */
  "POST /api/3.0/mlflow/traces/{trace_id}/assessments": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: an assessment. */
  "GET /api/3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: change an assessment. */
  "PATCH /api/3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: take an assessment back. */
  "DELETE /api/3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** The tokens of a text, or of a conversation as the model would read it. */
  "POST /tokenize": { query: undefined; body: TokenizeRequest; reply: { count: number; max_model_len: number; tokens: (number)[]; token_strs: ((string)[] | null); model: string } };
  /** The text of tokens. */
  "POST /detokenize": { query: undefined; body: { model?: string; tokens: (number)[] }; reply: { prompt: string } };
  /** What a model's tokenizer is. */
  "GET /tokenizer_info": { query: { model?: string }; body: undefined; reply: { model: string; tokenizer_class: string; vocab_size: number; model_max_length: number; bos_token: (string | null); eos_token: (string | null); chat_template: (string | null) } };
  /** Order documents by how well they answer a query (Cohere's, Jina's and vLLM's shape). */
  "POST /v1/rerank": { query: undefined; body: RerankRequest; reply: { id: string; object: "list"; model: string; results: ({ index: number; relevance_score: number; document?: { text: string }; truncated?: boolean })[]; usage: { prompt_tokens: number; total_tokens: number }; meta: Record<string, unknown> } };
  /** The same, where Cohere's newer clients send it. */
  "POST /v2/rerank": { query: undefined; body: RerankRequest; reply: { id: string; object: "list"; model: string; results: ({ index: number; relevance_score: number; document?: { text: string }; truncated?: boolean })[]; usage: { prompt_tokens: number; total_tokens: number }; meta: Record<string, unknown> } };
  /** The same; with texts, as text-embeddings-inference answers. */
  "POST /rerank": { query: undefined; body: RerankRequest; reply: ({ id: string; object: "list"; model: string; results: ({ index: number; relevance_score: number; document?: { text: string }; truncated?: boolean })[]; usage: { prompt_tokens: number; total_tokens: number }; meta: Record<string, unknown> } | ({ index: number; score: number; text?: string })[]) };
  /** Install a LoRA adapter of a model (base_model_name; the default one) and open it; answers with a text. */
  "POST /v1/load_lora_adapter": { query: undefined; body: { lora_name: string; lora_path: string; base_model_name?: string; load_inplace?: boolean }; reply: undefined };
  /** Close a LoRA adapter and remove it; answers with a text. */
  "POST /v1/unload_lora_adapter": { query: undefined; body: { lora_name: string; lora_int_id?: number }; reply: undefined };
  /** Answer a conversation as Anthropic's API does; with stream, as events. */
  "POST /v1/messages": { query: undefined; body: AnthropicMessages; reply: Record<string, unknown> };
  /** How many tokens a conversation has. */
  "POST /v1/messages/count_tokens": { query: undefined; body: AnthropicMessages; reply: { input_tokens: number } };
  /** Store a file: a form with file, purpose and perhaps expires_after. */
  "POST /v1/files": { query: undefined; body: undefined; reply: OpenAIFile };
  /** List the files of the project. */
  "GET /v1/files": { query: { purpose?: string; limit?: number; order?: ("asc" | "desc"); after?: string }; body: undefined; reply: { object: "list"; data: (OpenAIFile)[]; first_id: (string | null); last_id: (string | null); has_more: boolean } };
  /** Show a file. */
  "GET /v1/files/{id}": { query: undefined; body: undefined; reply: OpenAIFile };
  /** The bytes of a file. */
  "GET /v1/files/{id}/content": { query: undefined; body: undefined; reply: undefined };
  /** Remove a file. */
  "DELETE /v1/files/{id}": { query: undefined; body: undefined; reply: { id: string; object: "file"; deleted: boolean } };
  /** Begin a file that comes in parts, within an hour. */
  "POST /v1/uploads": { query: undefined; body: { bytes: number; filename: string; mime_type: string; purpose: string; expires_after?: { anchor: "created_at"; seconds: number } }; reply: OpenAIUpload };
  /** Add a part: a form with data. */
  "POST /v1/uploads/{id}/parts": { query: undefined; body: undefined; reply: { id: string; object: "upload.part"; created_at: number; upload_id: string } };
  /** Make the file of its parts, in the order of the list. */
  "POST /v1/uploads/{id}/complete": { query: undefined; body: { part_ids: (string)[]; md5?: string }; reply: OpenAIUpload };
  /** Forget an upload and its parts. */
  "POST /v1/uploads/{id}/cancel": { query: undefined; body: undefined; reply: OpenAIUpload };
  /** Make a vector store, perhaps of files, which are indexed in the background. */
  "POST /v1/vector_stores": { query: undefined; body: { name?: string; description?: string; file_ids?: (string)[]; chunking_strategy?: Record<string, unknown>; expires_after?: Record<string, unknown>; metadata?: Record<string, unknown> }; reply: VectorStore };
  /** List the vector stores of the project. */
  "GET /v1/vector_stores": { query: { limit?: number; order?: ("asc" | "desc"); after?: string; before?: string }; body: undefined; reply: { object: "list"; data: (VectorStore)[]; first_id: (string | null); last_id: (string | null); has_more: boolean } };
  /** Show a vector store. */
  "GET /v1/vector_stores/{id}": { query: undefined; body: undefined; reply: VectorStore };
  /** Change a vector store. */
  "POST /v1/vector_stores/{id}": { query: undefined; body: { name?: string; description?: string; expires_after?: (Record<string, unknown> | null); metadata?: Record<string, unknown> }; reply: VectorStore };
  /** Remove a vector store; the files stay. */
  "DELETE /v1/vector_stores/{id}": { query: undefined; body: undefined; reply: { id: string; object: "vector_store.deleted"; deleted: boolean } };
  /** Find passages in a vector store. */
  "POST /v1/vector_stores/{id}/search": { query: undefined; body: { query: (string | (string)[]); max_num_results?: number; filters?: Record<string, unknown>; ranking_options?: Record<string, unknown>; rewrite_query?: boolean }; reply: { object: "vector_store.search_results.page"; search_query: (string)[]; data: ({ file_id: string; filename: string; score: number; attributes: Record<string, unknown>; content: ({ type: "text"; text: string })[] })[]; has_more: boolean; next_page: (string | null); croft: { ranker: (string | null); notes: (string)[] } } };
  /** Add a file; it is indexed in the background. */
  "POST /v1/vector_stores/{id}/files": { query: undefined; body: { file_id: string; attributes?: Record<string, unknown>; chunking_strategy?: Record<string, unknown> }; reply: VectorStoreFile };
  /** List the files of a vector store. */
  "GET /v1/vector_stores/{id}/files": { query: { filter?: string; limit?: number; order?: ("asc" | "desc"); after?: string; before?: string }; body: undefined; reply: { object: "list"; data: (VectorStoreFile)[]; first_id: (string | null); last_id: (string | null); has_more: boolean } };
  /** Show a file of a vector store. */
  "GET /v1/vector_stores/{id}/files/{file}": { query: undefined; body: undefined; reply: VectorStoreFile };
  /** Change the attributes of a file. */
  "POST /v1/vector_stores/{id}/files/{file}": { query: undefined; body: { attributes: (Record<string, unknown> | null) }; reply: VectorStoreFile };
  /** Take a file out of a vector store; the file itself stays. */
  "DELETE /v1/vector_stores/{id}/files/{file}": { query: undefined; body: undefined; reply: { id: string; object: "vector_store.file.deleted"; deleted: boolean } };
  /** The text that was read from a file. */
  "GET /v1/vector_stores/{id}/files/{file}/content": { query: undefined; body: undefined; reply: { object: "vector_store.file_content.page"; data: ({ type: "text"; text: string })[]; has_more: boolean; next_page: (string | null) } };
  /** Add many files at once. */
  "POST /v1/vector_stores/{id}/file_batches": { query: undefined; body: { file_ids?: (string)[]; files?: ({ file_id: string; attributes?: Record<string, unknown>; chunking_strategy?: Record<string, unknown> })[]; attributes?: Record<string, unknown>; chunking_strategy?: Record<string, unknown> }; reply: VectorStoreBatch };
  /** Show a batch of files. */
  "GET /v1/vector_stores/{id}/file_batches/{batch}": { query: undefined; body: undefined; reply: VectorStoreBatch };
  /** Leave out what of a batch is not indexed yet. */
  "POST /v1/vector_stores/{id}/file_batches/{batch}/cancel": { query: undefined; body: undefined; reply: VectorStoreBatch };
  /** List the files of a batch. */
  "GET /v1/vector_stores/{id}/file_batches/{batch}/files": { query: { filter?: string; limit?: number; order?: ("asc" | "desc"); after?: string; before?: string }; body: undefined; reply: { object: "list"; data: (VectorStoreFile)[]; first_id: (string | null); last_id: (string | null); has_more: boolean } };
  /** Answer a file of requests. */
  "POST /v1/batches": { query: undefined; body: { input_file_id: string; endpoint: string; completion_window: "24h"; metadata?: Record<string, unknown> }; reply: OpenAIBatch };
  /** List the batches of the project. */
  "GET /v1/batches": { query: { limit?: number; after?: string }; body: undefined; reply: { object: "list"; data: (OpenAIBatch)[]; first_id: (string | null); last_id: (string | null); has_more: boolean } };
  /** Show a batch. */
  "GET /v1/batches/{id}": { query: undefined; body: undefined; reply: OpenAIBatch };
  /** Cancel a batch. */
  "POST /v1/batches/{id}/cancel": { query: undefined; body: undefined; reply: OpenAIBatch };
  /** Answer a conversation as OpenAI's Responses API does; with stream, as events. */
  "POST /v1/responses": { query: undefined; body: OpenAIResponseRequest; reply: OpenAIResponse };
  /** How many tokens the model would read. */
  "POST /v1/responses/input_tokens": { query: undefined; body: OpenAIResponseRequest; reply: { object: "response.input_tokens"; input_tokens: number } };
  /** Show a stored response, or follow its events. */
  "GET /v1/responses/{id}": { query: { stream?: boolean; starting_after?: number; include?: string }; body: undefined; reply: OpenAIResponse };
  /** Remove a stored response. */
  "DELETE /v1/responses/{id}": { query: undefined; body: undefined; reply: { id: string; object: "response"; deleted: boolean } };
  /** Cancel a response that is made in the background. */
  "POST /v1/responses/{id}/cancel": { query: undefined; body: undefined; reply: OpenAIResponse };
  /** What a response was asked with, and what it continues. */
  "GET /v1/responses/{id}/input_items": { query: { limit?: number; order?: ("asc" | "desc"); after?: string; include?: string }; body: undefined; reply: OpenAIItems };
  /** List the stored responses of the project, newest first. */
  "GET /api/v1/responses": { query: { limit?: number; before?: string }; body: undefined; reply: { responses: ({ id: string; run: (string | null); status: string; model: string; title: string; background: boolean; created_ms: number; expires_ms: (number | null); previous: (string | null); conversation: (string | null) })[]; more: boolean } };
  /** Begin a conversation. */
  "POST /v1/conversations": { query: undefined; body: { metadata?: Record<string, unknown>; items?: (Record<string, unknown>)[] }; reply: OpenAIConversation };
  /** Show a conversation. */
  "GET /v1/conversations/{id}": { query: undefined; body: undefined; reply: OpenAIConversation };
  /** Give a conversation other metadata. */
  "POST /v1/conversations/{id}": { query: undefined; body: { metadata: Record<string, unknown> }; reply: OpenAIConversation };
  /** Remove a conversation. */
  "DELETE /v1/conversations/{id}": { query: undefined; body: undefined; reply: { id: string; object: "conversation.deleted"; deleted: boolean } };
  /** Add items to a conversation. */
  "POST /v1/conversations/{id}/items": { query: undefined; body: { items: (Record<string, unknown>)[] }; reply: OpenAIItems };
  /** List the items of a conversation. */
  "GET /v1/conversations/{id}/items": { query: { limit?: number; order?: ("asc" | "desc"); after?: string; include?: string }; body: undefined; reply: OpenAIItems };
  /** Show an item of a conversation. */
  "GET /v1/conversations/{id}/items/{item}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Remove an item of a conversation. */
  "DELETE /v1/conversations/{id}/items/{item}": { query: undefined; body: undefined; reply: OpenAIConversation };
  /** Qdrant: list the collections. */
  "GET /collections": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: what a collection is and holds. */
  "GET /collections/{collection}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: whether there is one of that name. */
  "GET /collections/{collection}/exists": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: make a collection. */
  "PUT /collections/{collection}": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: change how a collection is stored (no effect). */
  "PATCH /collections/{collection}": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: delete a collection. */
  "DELETE /collections/{collection}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: all aliases of collections. */
  "GET /aliases": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: the aliases of a collection. */
  "GET /collections/{collection}/aliases": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: change aliases, all at one moment or none. */
  "POST /collections/aliases": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: the versions of a collection. */
  "GET /collections/{collection}/snapshots": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: make a version. */
  "POST /collections/{collection}/snapshots": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: a version as one file. */
  "GET /collections/{collection}/snapshots/{snapshot}": { query: undefined; body: undefined; reply: undefined };
  /** Qdrant: delete a version. */
  "DELETE /collections/{collection}/snapshots/{snapshot}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: a collection becomes what a snapshot of this server has. */
  "PUT /collections/{collection}/snapshots/recover": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: a collection becomes what a file has, as a whole or not at all. */
  "POST /collections/{collection}/snapshots/upload": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: index a field of the payloads (all of them are, always). */
  "PUT /collections/{collection}/index": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: no longer index a field. */
  "DELETE /collections/{collection}/index/{field}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: insert or replace points. */
  "PUT /collections/{collection}/points": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: points by their ids. */
  "POST /collections/{collection}/points": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: delete points. */
  "POST /collections/{collection}/points/delete": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: replace vectors of points. */
  "PUT /collections/{collection}/points/vectors": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: delete vectors of points. */
  "POST /collections/{collection}/points/vectors/delete": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: set members of payloads. */
  "POST /collections/{collection}/points/payload": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: replace payloads. */
  "PUT /collections/{collection}/points/payload": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: delete members of payloads. */
  "POST /collections/{collection}/points/payload/delete": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: empty payloads. */
  "POST /collections/{collection}/points/payload/clear": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: several changes, one by one. */
  "POST /collections/{collection}/points/batch": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: points in the order of their ids. */
  "POST /collections/{collection}/points/scroll": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: how many points. */
  "POST /collections/{collection}/points/count": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: the nearest points. */
  "POST /collections/{collection}/points/search": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: several searches. */
  "POST /collections/{collection}/points/search/batch": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: the nearest points. */
  "POST /collections/{collection}/points/query": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: several queries. */
  "POST /collections/{collection}/points/query/batch": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: the nearest points, by the values of a field. */
  "POST /collections/{collection}/points/query/groups": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: the nearest points, by the values of a field. */
  "POST /collections/{collection}/points/search/groups": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: how near points of a sample are to each other. */
  "POST /collections/{collection}/points/search/matrix/pairs": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: the same as a sparse matrix. */
  "POST /collections/{collection}/points/search/matrix/offsets": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: the points nearest to examples. */
  "POST /collections/{collection}/points/recommend": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: several of these. */
  "POST /collections/{collection}/points/recommend/batch": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: these by the values of a field. */
  "POST /collections/{collection}/points/recommend/groups": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: points near a target, on the right side of pairs. */
  "POST /collections/{collection}/points/discover": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: several of these. */
  "POST /collections/{collection}/points/discover/batch": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: that there is no cluster. */
  "GET /cluster": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: nothing that is to be mended. */
  "GET /issues": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: the only shard. */
  "GET /collections/{collection}/cluster": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: no shards under keys. */
  "GET /collections/{collection}/shards": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: nothing is in the queue, ever. */
  "GET /collections/{collection}/optimizations": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Qdrant: the values of a field and their points. */
  "POST /collections/{collection}/facet": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** Qdrant: one point. */
  "GET /collections/{collection}/points/{id}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Say OK, as an MLflow server does. */
  "GET /health": { query: undefined; body: undefined; reply: undefined };
  /** The version of MLflow whose interface this is. */
  "GET /version": { query: undefined; body: undefined; reply: undefined };
  /** Make an experiment. */
  "POST /api/2.0/mlflow/experiments/create": { query: undefined; body: { name: string; artifact_location?: string; tags?: ({ key: string; value?: string })[] }; reply: { experiment_id: string } };
  /** Show an experiment. */
  "GET /api/2.0/mlflow/experiments/get": { query: { experiment_id: string }; body: undefined; reply: { experiment: Record<string, unknown> } };
  /** Show an experiment by its name. */
  "GET /api/2.0/mlflow/experiments/get-by-name": { query: { experiment_name: string }; body: undefined; reply: { experiment: Record<string, unknown> } };
  /** Search experiments. */
  "GET /api/2.0/mlflow/experiments/search": { query: { view_type?: string; max_results?: number; filter?: string; page_token?: string }; body: undefined; reply: Record<string, unknown> };
  /** Search experiments. */
  "POST /api/2.0/mlflow/experiments/search": { query: undefined; body: { view_type?: (string | number); max_results?: number; filter?: string; order_by?: (string)[]; page_token?: string }; reply: Record<string, unknown> };
  /** Rename an experiment. */
  "POST /api/2.0/mlflow/experiments/update": { query: undefined; body: { experiment_id: string; new_name: string }; reply: Record<string, unknown> };
  /** Delete an experiment with its runs. */
  "POST /api/2.0/mlflow/experiments/delete": { query: undefined; body: { experiment_id: string }; reply: Record<string, unknown> };
  /** Restore a deleted experiment with its runs. */
  "POST /api/2.0/mlflow/experiments/restore": { query: undefined; body: { experiment_id: string }; reply: Record<string, unknown> };
  /** Set a tag of an experiment. */
  "POST /api/2.0/mlflow/experiments/set-experiment-tag": { query: undefined; body: { experiment_id: string; key: string; value?: string }; reply: Record<string, unknown> };
  /** Remove a tag of an experiment. */
  "POST /api/2.0/mlflow/experiments/delete-experiment-tag": { query: undefined; body: { experiment_id: string; key: string }; reply: Record<string, unknown> };
  /** The datasets that runs of experiments used. */
  "POST /api/2.0/mlflow/experiments/search-datasets": { query: undefined; body: { experiment_ids: (string)[] }; reply: Record<string, unknown> };
  /** Begin a run. */
  "POST /api/2.0/mlflow/runs/create": { query: undefined; body: { experiment_id?: string; start_time?: number; run_name?: string; user_id?: string; tags?: ({ key: string; value?: string })[] }; reply: { run: Record<string, unknown> } };
  /** Show a run. */
  "GET /api/2.0/mlflow/runs/get": { query: { run_id?: string; run_uuid?: string }; body: undefined; reply: { run: Record<string, unknown> } };
  /** Set a run's status, end and name. */
  "POST /api/2.0/mlflow/runs/update": { query: undefined; body: { run_id?: string; run_uuid?: string; status?: (string | number); end_time?: number; run_name?: string }; reply: { run_info: Record<string, unknown> } };
  /** Delete a run. */
  "POST /api/2.0/mlflow/runs/delete": { query: undefined; body: { run_id?: string; run_uuid?: string }; reply: Record<string, unknown> };
  /** Restore a deleted run. */
  "POST /api/2.0/mlflow/runs/restore": { query: undefined; body: { run_id?: string; run_uuid?: string }; reply: Record<string, unknown> };
  /** Add a point to a metric. */
  "POST /api/2.0/mlflow/runs/log-metric": { query: undefined; body: { run_id?: string; run_uuid?: string; key: string; value: (number | string); timestamp: number; step?: number }; reply: Record<string, unknown> };
  /** Set a parameter, once. */
  "POST /api/2.0/mlflow/runs/log-parameter": { query: undefined; body: { run_id?: string; run_uuid?: string; key: string; value?: string }; reply: Record<string, unknown> };
  /** Set a tag of a run. */
  "POST /api/2.0/mlflow/runs/set-tag": { query: undefined; body: { run_id?: string; run_uuid?: string; key: string; value?: string }; reply: Record<string, unknown> };
  /** Remove a tag of a run. */
  "POST /api/2.0/mlflow/runs/delete-tag": { query: undefined; body: { run_id?: string; run_uuid?: string; key: string }; reply: Record<string, unknown> };
  /** Add metrics, parameters and tags at once. */
  "POST /api/2.0/mlflow/runs/log-batch": { query: undefined; body: { run_id?: string; run_uuid?: string; metrics?: (Record<string, unknown>)[]; params?: ({ key: string; value?: string })[]; tags?: ({ key: string; value?: string })[] }; reply: Record<string, unknown> };
  /** Say which datasets and models a run used. */
  "POST /api/2.0/mlflow/runs/log-inputs": { query: undefined; body: { run_id?: string; run_uuid?: string; datasets?: (Record<string, unknown>)[]; models?: (Record<string, unknown>)[] }; reply: Record<string, unknown> };
  /** Say which models a run made. */
  "POST /api/2.0/mlflow/runs/outputs": { query: undefined; body: { run_id?: string; run_uuid?: string; models: ({ model_id: string; step?: number })[] }; reply: Record<string, unknown> };
  /** Say that a run made a model. */
  "POST /api/2.0/mlflow/runs/log-model": { query: undefined; body: { run_id?: string; run_uuid?: string; model_json: string }; reply: Record<string, unknown> };
  /** Search runs. */
  "POST /api/2.0/mlflow/runs/search": { query: undefined; body: { experiment_ids?: (string)[]; filter?: string; run_view_type?: (string | number); max_results?: number; order_by?: (string)[]; page_token?: string }; reply: Record<string, unknown> };
  /** The points of a metric, by time. */
  "GET /api/2.0/mlflow/metrics/get-history": { query: { run_id?: string; run_uuid?: string; metric_key: string; max_results?: number; page_token?: string }; body: undefined; reply: Record<string, unknown> };
  /** The points of a metric in several runs. */
  "GET /api/2.0/mlflow/metrics/get-history-bulk": { query: { run_id: string; metric_key: string; max_results?: number }; body: undefined; reply: Record<string, unknown> };
  /** A sample of a metric's points in several runs. */
  "GET /api/2.0/mlflow/metrics/get-history-bulk-interval": { query: { run_ids: string; metric_key: string; start_step?: number; end_step?: number; max_results?: number }; body: undefined; reply: Record<string, unknown> };
  /** List a run's files. */
  "GET /api/2.0/mlflow/artifacts/list": { query: { run_id?: string; run_uuid?: string; path?: string }; body: undefined; reply: Record<string, unknown> };
  /** List files. */
  "GET /api/2.0/mlflow-artifacts/artifacts": { query: { path?: string }; body: undefined; reply: Record<string, unknown> };
  /** Fetch a file. */
  "GET /api/2.0/mlflow-artifacts/artifacts/{path...}": { query: undefined; body: undefined; reply: undefined };
  /** Store a file. */
  "PUT /api/2.0/mlflow-artifacts/artifacts/{path...}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Remove a file or a folder. */
  "DELETE /api/2.0/mlflow-artifacts/artifacts/{path...}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Begin a file in parts. */
  "POST /api/2.0/mlflow-artifacts/mpu/create/{path...}": { query: undefined; body: { path: string; num_parts?: number }; reply: { upload_id: string; credentials: ({ url: string; part_number: number; headers: Record<string, unknown> })[] } };
  /** Store a part of a file. */
  "PUT /api/2.0/mlflow-artifacts/mpu/part/{upload}/{number}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Make a file of its parts. */
  "POST /api/2.0/mlflow-artifacts/mpu/complete/{path...}": { query: undefined; body: { path: string; upload_id?: string; parts: ({ part_number: number; etag?: string })[] }; reply: Record<string, unknown> };
  /** Drop a file in parts. */
  "POST /api/2.0/mlflow-artifacts/mpu/abort/{path...}": { query: undefined; body: { path: string; upload_id?: string }; reply: Record<string, unknown> };
  /** Where ranges of a file can be fetched. */
  "GET /api/2.0/mlflow-artifacts/presigned/{path...}": { query: undefined; body: undefined; reply: { url: string; headers: Record<string, unknown>; file_size: number } };
  /** Refused: files are kept here. */
  "POST /api/2.0/mlflow/artifacts/presigned-upload-url": { query: undefined; body: { run_id: string; path: string; expiration?: number }; reply: Record<string, unknown> };
  /** Refused: files are kept here. */
  "POST /api/2.0/mlflow/artifacts/presigned-download-url": { query: undefined; body: { run_id: string; path: string; expiration?: number }; reply: Record<string, unknown> };
  /** What this server can, as MLflow's clients ask. */
  "GET /api/3.0/mlflow/server-info": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** Store a small file of a run. */
  "POST /api/2.0/mlflow/upload-artifact": { query: { run_uuid: string; path: string }; body: undefined; reply: Record<string, unknown> };
  /** Fetch a file of a run. */
  "GET /get-artifact": { query: { run_id?: string; run_uuid?: string; path: string }; body: undefined; reply: undefined };
  /** MLflow: make a registered model or a prompt. */
  "POST /api/2.0/mlflow/registered-models/create": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: rename a registered model. */
  "POST /api/2.0/mlflow/registered-models/rename": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: describe a registered model. */
  "PATCH /api/2.0/mlflow/registered-models/update": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: delete a registered model. */
  "DELETE /api/2.0/mlflow/registered-models/delete": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: show a registered model. */
  "GET /api/2.0/mlflow/registered-models/get": { query: { name: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: search registered models, or prompts. */
  "GET /api/2.0/mlflow/registered-models/search": { query: { filter?: string; max_results?: number; order_by?: string; page_token?: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: the newest version of each stage. */
  "GET /api/2.0/mlflow/registered-models/get-latest-versions": { query: { name: string; stages?: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: the newest version of each stage. */
  "POST /api/2.0/mlflow/registered-models/get-latest-versions": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: tag a registered model. */
  "POST /api/2.0/mlflow/registered-models/set-tag": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: remove a tag of a registered model. */
  "DELETE /api/2.0/mlflow/registered-models/delete-tag": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: point an alias at a version. */
  "POST /api/2.0/mlflow/registered-models/alias": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: take an alias away. */
  "DELETE /api/2.0/mlflow/registered-models/alias": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: the version that an alias points at. */
  "GET /api/2.0/mlflow/registered-models/alias": { query: { name: string; alias: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: add a version. */
  "POST /api/2.0/mlflow/model-versions/create": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: describe a version. */
  "PATCH /api/2.0/mlflow/model-versions/update": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: move a version to a stage. */
  "POST /api/2.0/mlflow/model-versions/transition-stage": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: delete a version. */
  "DELETE /api/2.0/mlflow/model-versions/delete": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: show a version. */
  "GET /api/2.0/mlflow/model-versions/get": { query: { name: string; version: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: search versions. */
  "GET /api/2.0/mlflow/model-versions/search": { query: { filter?: string; max_results?: number; order_by?: string; page_token?: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: where a version's files are. */
  "GET /api/2.0/mlflow/model-versions/get-download-uri": { query: { name: string; version: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: tag a version. */
  "POST /api/2.0/mlflow/model-versions/set-tag": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: remove a tag of a version. */
  "DELETE /api/2.0/mlflow/model-versions/delete-tag": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: log a model. */
  "POST /api/2.0/mlflow/logged-models": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: search logged models. */
  "POST /api/2.0/mlflow/logged-models/search": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: show a logged model. */
  "GET /api/2.0/mlflow/logged-models/{model_id}": { query: { allow_deleted?: boolean }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: say that a logged model is complete. */
  "PATCH /api/2.0/mlflow/logged-models/{model_id}": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: delete a logged model. */
  "DELETE /api/2.0/mlflow/logged-models/{model_id}": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: list a logged model's files. */
  "GET /api/2.0/mlflow/logged-models/{model_id}/artifacts/directories": { query: { artifact_directory_path?: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: fetch a file of a logged model. */
  "GET /api/2.0/mlflow/logged-models/{model_id}/artifacts/files": { query: { artifact_file_path: string }; body: undefined; reply: undefined };
  /** MLflow: add parameters to a logged model. */
  "POST /api/2.0/mlflow/logged-models/{model_id}/params": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: tag a logged model. */
  "PATCH /api/2.0/mlflow/logged-models/{model_id}/tags": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: remove a tag of a logged model. */
  "DELETE /api/2.0/mlflow/logged-models/{model_id}/tags/{key}": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: make a webhook. */
  "POST /api/2.0/mlflow/webhooks": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: list webhooks. */
  "GET /api/2.0/mlflow/webhooks": { query: { max_results?: number; page_token?: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: show a webhook. */
  "GET /api/2.0/mlflow/webhooks/{webhook_id}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** MLflow: change a webhook. */
  "PATCH /api/2.0/mlflow/webhooks/{webhook_id}": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: remove a webhook. */
  "DELETE /api/2.0/mlflow/webhooks/{webhook_id}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** MLflow: send a webhook an example. */
  "POST /api/2.0/mlflow/webhooks/{webhook_id}/test": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: keep a scorer. */
  "POST /api/3.0/mlflow/scorers/register": { query: undefined; body: { experiment_id: string; name: string; serialized_scorer: string }; reply: Record<string, unknown> };
  /** MLflow: list scorers. */
  "GET /api/3.0/mlflow/scorers/list": { query: { experiment_id?: string; experiment_ids?: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: list a scorer's versions. */
  "GET /api/3.0/mlflow/scorers/versions": { query: { experiment_id: string; name: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: show a scorer. */
  "GET /api/3.0/mlflow/scorers/get": { query: { experiment_id: string; name: string; version?: number }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: none: scorers are run by clients. */
  "GET /api/3.0/mlflow/scorers/online-configs": { query: { scorer_ids?: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: refused: scorers are run by clients. */
  "PUT /api/3.0/mlflow/scorers/online-config": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: remove a scorer or a version. */
  "DELETE /api/3.0/mlflow/scorers/delete": { query: undefined; body: { experiment_id: string; name: string; version?: number }; reply: Record<string, unknown> };
  /** MLflow: make an evaluation dataset. */
  "POST /api/3.0/mlflow/datasets/create": { query: undefined; body: { name: string; experiment_ids?: (string)[]; tags?: string }; reply: Record<string, unknown> };
  /** MLflow: search evaluation datasets. */
  "GET /api/3.0/mlflow/datasets/search": { query: { filter_string?: string; max_results?: number; page_token?: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: search evaluation datasets. */
  "POST /api/3.0/mlflow/datasets/search": { query: undefined; body: Record<string, unknown>; reply: Record<string, unknown> };
  /** MLflow: show an evaluation dataset. */
  "GET /api/3.0/mlflow/datasets/{dataset_id}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** MLflow: remove an evaluation dataset. */
  "DELETE /api/3.0/mlflow/datasets/{dataset_id}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** MLflow: tag an evaluation dataset. */
  "PATCH /api/3.0/mlflow/datasets/{dataset_id}/tags": { query: undefined; body: { tags: string }; reply: Record<string, unknown> };
  /** MLflow: remove a tag of an evaluation dataset. */
  "DELETE /api/3.0/mlflow/datasets/{dataset_id}/tags/{key}": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** MLflow: the experiments of an evaluation dataset. */
  "GET /api/3.0/mlflow/datasets/{dataset_id}/experiment-ids": { query: undefined; body: undefined; reply: Record<string, unknown> };
  /** MLflow: put an evaluation dataset into experiments. */
  "POST /api/3.0/mlflow/datasets/{dataset_id}/add-experiments": { query: undefined; body: { experiment_ids?: (string)[] }; reply: Record<string, unknown> };
  /** MLflow: take an evaluation dataset out of experiments. */
  "POST /api/3.0/mlflow/datasets/{dataset_id}/remove-experiments": { query: undefined; body: { experiment_ids?: (string)[] }; reply: Record<string, unknown> };
  /** MLflow: add records to an evaluation dataset. */
  "POST /api/3.0/mlflow/datasets/{dataset_id}/records": { query: undefined; body: { records: string }; reply: Record<string, unknown> };
  /** MLflow: the records of an evaluation dataset. */
  "GET /api/3.0/mlflow/datasets/{dataset_id}/records": { query: { max_results?: number; page_token?: string }; body: undefined; reply: Record<string, unknown> };
  /** MLflow: remove records of an evaluation dataset. */
  "DELETE /api/3.0/mlflow/datasets/{dataset_id}/records": { query: undefined; body: { dataset_record_ids?: (string)[] }; reply: Record<string, unknown> };
  /** The process is alive. */
  "GET /healthz": { query: undefined; body: undefined; reply: undefined };
  /** Models and indexes are usable. */
  "GET /readyz": { query: undefined; body: undefined; reply: undefined };
  /** Metrics in Prometheus' text format. */
  "GET /metrics": { query: undefined; body: undefined; reply: undefined };
  /** What the project holds. */
  "GET /api/v1/status": { query: undefined; body: undefined; reply: Status };
  /** Everything as one tar file, with a manifest: what `croft backup` stores. */
  "GET /api/v1/backup": { query: undefined; body: undefined; reply: undefined };
  /** Each setting and its origin. */
  "GET /api/v1/settings": { query: undefined; body: undefined; reply: { home: string; config: (string | null); settings: (Setting)[] } };
  /** This API as OpenAPI 3.1. */
  "GET /api/v1/openapi.json": { query: undefined; body: undefined; reply: Record<string, unknown> };
}
