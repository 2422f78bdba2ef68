// The columns of a table of runs: which there are, which are chosen, what stands in a cell.
import { finite } from './series'
import type { TrackedRun } from './types'

/** "params.lr", "metrics.val/loss", "tags.team", "attributes.user". */
export type ColumnId = string
export type ColumnKind = 'attributes' | 'params' | 'metrics' | 'tags'
export const kinds: readonly ColumnKind[] = ['attributes', 'params', 'metrics', 'tags']

export const attributes = ['started', 'duration', 'status', 'user'] as const

export function split(id: ColumnId): { kind: ColumnKind; key: string } {
  const dot = id.indexOf('.')
  return { kind: id.slice(0, dot) as ColumnKind, key: id.slice(dot + 1) }
}

export const isColumn = (id: string): boolean => {
  const { kind, key } = split(id)
  return kinds.includes(kind) && key !== '' && (kind !== 'attributes' || (attributes as readonly string[]).includes(key))
}

/** All columns that these runs have something in, and in how many. */
export function columnsOf(runs: TrackedRun[]): Map<ColumnId, number> {
  const found = new Map<ColumnId, number>(attributes.map((a) => [`attributes.${a}`, runs.length]))
  for (const r of runs)
    for (const kind of ['params', 'metrics', 'tags'] as const)
      for (const key of Object.keys(r[kind])) {
        const id = `${kind}.${key}`
        found.set(id, (found.get(id) ?? 0) + 1)
      }
  return found
}

/** What is shown until somebody chooses: what most runs have, and parameters that differ first. */
export function usual(runs: TrackedRun[]): ColumnId[] {
  const found = columnsOf(runs)
  const most = (kind: ColumnKind, n: number) => {
    const values = (id: ColumnId) => new Set(runs.map((r) => valueOf(r, id)).filter((v) => v !== null)).size
    return [...found].filter(([id]) => split(id).kind === kind)
      // what the machine measured comes after what the work did
      .map(([id, count]) => ({ id, count, system: split(id).key.startsWith('system/'), differs: kind === 'params' && values(id) > 1 }))
      .sort((a, b) => Number(a.system) - Number(b.system) || Number(b.differs) - Number(a.differs) || b.count - a.count || (a.id < b.id ? -1 : 1))
      .slice(0, n).map((c) => c.id)
  }
  return ['attributes.started', 'attributes.duration', 'attributes.status', ...most('metrics', 4), ...most('params', 4)]
}

const has = (o: Record<string, unknown>, key: string): unknown => (Object.hasOwn(o, key) ? o[key] : undefined)

export interface Metric { value: number | null; step: number; time_ms: number }

/** The newest point of a metric. */
export const metricOf = (r: TrackedRun, key: string): Metric | undefined => has(r.metrics, key) as Metric | undefined

/** The value itself: a number, a text, or null for none. */
export function valueOf(r: TrackedRun, id: ColumnId): number | string | null {
  const { kind, key } = split(id)
  if (kind === 'attributes')
    switch (key) {
      case 'started': return r.started
      case 'duration': return r.duration_ms
      case 'status': return r.status
      default: return r.user
    }
  const v = kind === 'metrics' ? metricOf(r, key)?.value : has(r[kind], key)
  return typeof v === 'number' || typeof v === 'string' ? v : null
}

/** A name in the language of filters and orders. */
export function term(id: ColumnId): string {
  const { kind, key } = split(id)
  if (kind === 'attributes') return { started: 'start_time', duration: 'duration', status: 'status' }[key] ?? 'user_id'
  if (/^[\w./:-]+$/.test(key)) return `${kind}.${key}`
  return `${kind}.${key.includes('`') ? `"${key}"` : `\`${key}\``}`
}

// ---- groups

export interface Group { value: string | null; runs: TrackedRun[] }
export const means = ['mean', 'min', 'max', 'median'] as const
export type Mean = (typeof means)[number]

export function grouped(runs: TrackedRun[], by: ColumnId): Group[] {
  const groups = new Map<string | null, TrackedRun[]>()
  for (const r of runs) {
    const v = valueOf(r, by)
    const key = v === null ? null : String(v)
    groups.set(key, [...(groups.get(key) ?? []), r])
  }
  return [...groups].map(([value, of]) => ({ value, runs: of }))
    .sort((a, b) => Number(a.value === null) - Number(b.value === null) || b.runs.length - a.runs.length || String(a.value).localeCompare(String(b.value), 'en', { numeric: true }))
}

export function aggregate(runs: TrackedRun[], id: ColumnId, how: Mean): { value: number; spread: number | null; n: number } | null {
  const v = runs.map((r) => valueOf(r, id)).map((x) => finite(typeof x === 'string' && x !== '' ? Number(x) : x))
    .filter((x): x is number => x !== null).sort((a, b) => a - b)
  if (!v.length) return null
  const n = v.length
  const mean = v.reduce((s, x) => s + x, 0) / n
  if (how === 'mean')
    return { value: mean, n, spread: n > 1 ? Math.sqrt(v.reduce((s, x) => s + (x - mean) ** 2, 0) / (n - 1)) : null }
  const half = n >> 1
  const value = how === 'min' ? v[0]! : how === 'max' ? v[n - 1]! : n % 2 ? v[half]! : (v[half - 1]! + v[half]!) / 2
  return { value, spread: null, n }
}
