// The stages of a search: what is asked for beside it, kept in the place, and what each did.
import { duration } from './format'
import { navigate, withQuery } from './router'
import { Button } from './ui'
import type { Routes } from './types'

type Body = Routes['POST /api/v1/search']['body']
type Reply = Routes['POST /api/v1/search']['reply']

const switches = [
  ['rewrite', 'Rewrite', 'A chat model rewrites the question; both are searched'],
  ['decompose', 'Take apart', 'A chat model takes the question apart; the parts are searched too'],
  ['hyde', 'Imagined passage', 'A chat model writes a passage that would answer, to look for the like'],
  ['filters', 'Filters from the question', 'Types, tags, attributes and dates that the question names'],
  ['new', 'Newer first', 'A document that is 90 days older counts half as much'],
  ['unlike', 'Unlike each other', 'Passages that are much like a better one go back'],
  ['section', 'Whole sections', 'The section that a passage stands in'],
] as const

export const stagesIn = (place: URLSearchParams): string[] =>
  (place.get('stages') ?? '').split(' ').filter((s) => switches.some(([name]) => name === s))

/** Their members of a request. */
export function stageMembers(on: string[]): Partial<Body> {
  const has = (name: string) => on.includes(name)
  return {
    ...(has('rewrite') && { rewrite: true }),
    ...(has('decompose') && { decompose: true }),
    ...(has('hyde') && { hyde: true }),
    ...(has('filters') && { derive_filters: true }),
    ...(has('new') && { recency: { half_life_days: 90 } }),
    ...(has('unlike') && { diversity: 0.4 }),
    ...(has('section') && { context: { parent: true } }),
  }
}

const put = (on: string[]) => navigate(withQuery({ stages: on.join(' ') || null }), { replace: true })

export function StagePicker({ on }: { on: string[] }) {
  return (
    <fieldset class="stage-picker">
      <legend class="small dim">Stages</legend>
      {switches.map(([name, title, says]) => (
        <label key={name} class="small" title={says}>
          <input type="checkbox" checked={on.includes(name)}
            onChange={(e) => put(e.currentTarget.checked ? [...on, name] : on.filter((s) => s !== name))} />
          {title}
        </label>
      ))}
    </fieldset>
  )
}

const called = { question: 'The question', rewritten: 'Rewritten', part: 'A part' }

/** What became of the question, when anything did. */
export function StageTrail({ r, on }: { r: Reply; on: string[] }) {
  const derived = r.derived_filters
  const extra = r.searched.length > 1 || r.hypothetical_passage || derived || r.notes.length || r.stages.length > 1
  if (!extra) return null
  return (
    <div class="stage-trail small">
      {r.searched.slice(1).map((s) => <p key={s.text}><span class="dim">{called[s.as]}:</span> {s.text}</p>)}
      {r.hypothetical_passage && <p><span class="dim">Imagined passage:</span> {r.hypothetical_passage}</p>}
      {derived && (
        <p class={derived.dropped ? 'dim' : ''}>
          <span class="dim">Only documents with</span> {filterText(derived)}
          {derived.by === 'model' && <span class="dim">, read by the chat model</span>}
          {derived.dropped ? ': none has, so it was dropped ' : ' '}
          {on.includes('filters') && (
            <Button kind="quiet" icon="filter" onClick={() => put(on.filter((s) => s !== 'filters'))}>Without this filter</Button>
          )}
        </p>
      )}
      {r.notes.map((n) => <p key={n} role="note">{n}</p>)}
      <p class="dim">
        {r.stages.map((s, i) => <span key={i}>{i > 0 && ' → '}{s.stage} {duration(s.took_ms)}</span>)}
      </p>
    </div>
  )
}

/** Each filter, with the words of the question that ask for it. */
function filterText(f: NonNullable<Reply['derived_filters']>): string {
  const words = f.words as Record<string, string>
  const parts: [string, string | undefined][] = [['type', f.type], ['tag', f.tag], ['from', f.from?.slice(0, 10)],
    ['to', f.to?.slice(0, 10)], ...Object.entries((f.attributes ?? {}) as Record<string, string>)]
  return parts.filter(([, v]) => v).map(([k, v]) => `${k} ${v}${words[k] ? ` (“${words[k]}”)` : ''}`).join(', ')
}
