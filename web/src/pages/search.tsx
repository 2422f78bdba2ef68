import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { call } from '../api'
import { Autopsy } from '../autopsy'
import { FilterBar } from '../filters'
import { count, duration } from '../format'
import { passageHref } from '../passage'
import { href, navigate, usePlace, withQuery } from '../router'
import { StagePicker, stageMembers, stagesIn, StageTrail } from '../stages'
import { StandsOn } from '../stands_on'
import { Button, Choice, Empty, Failure, PageHead, useLoad, where } from '../ui'
import type { Filters, Hit, Method } from '../types'

const methods = [['hybrid', 'Both'], ['dense', 'Meaning'], ['bm25', 'Words']] as const
const filterNames = ['type', 'path', 'tag', 'from', 'to'] as const

export function SearchPage() {
  const { query: place } = usePlace()
  const q = place.get('q') ?? ''
  const method = (place.get('method') ?? 'hybrid') as Method
  const filters: Filters = {}
  for (const f of filterNames) if (place.get(f)) filters[f] = place.get(f)!
  const on = stagesIn(place)
  const search = { method, filters, ...stageMembers(on) }
  const [text, setText] = useState(q)
  const [filtering, setFiltering] = useState(Object.keys(filters).length > 0 || on.length > 0)
  useEffect(() => setText(q), [q])
  const { data, error, loading, reload } = useLoad(
    async (signal) => q ? call('POST /api/v1/search', { body: { query: q, k: 20, ...search }, signal }) : null,
    [q, JSON.stringify(search)])
  return (
    <>
      <PageHead title="Search" sub="The passages themselves, and why each was found." />
      <form class="search-box" role="search" onSubmit={(e) => {
        e.preventDefault()
        if (text.trim()) navigate(withQuery({ q: text.trim(), p: null }))
      }}>
        <input type="search" id="search" value={text} aria-label="Search the passages"
          placeholder="Words or a question" onInput={(e) => setText(e.currentTarget.value)} />
        <Button icon="search" kind="main" type="submit">Search</Button>
      </form>
      <div class="toolbar">
        <Choice label="Method" value={method} options={methods}
          onChange={(v) => navigate(withQuery({ method: v === 'hybrid' ? null : v }), { replace: true })} />
        <Button icon="filter" kind="quiet" aria-expanded={filtering}
          onClick={() => setFiltering(!filtering)}>Filters and stages</Button>
        {data && (
          <span class="dim small" role="status">
            {count(data.hits.length, 'passage')} in {duration(data.took_ms)} ·{' '}
            <a href={href('run', { id: data.run })}>run</a>
            <StandsOn set={data.document_set} changes={data.document_changes} />
          </span>
        )}
      </div>
      {filtering && (
        <FilterBar value={filters}
          onChange={(f) => navigate(withQuery(f as Record<string, string>), { replace: true })} />
      )}
      {filtering && <StagePicker on={on} />}
      {data && <StageTrail r={data} on={on} />}
      {error && <Failure error={error} retry={reload} />}
      {q && data && !data.hits.length && (
        <Empty title="Nothing found"><p>Try other words, or search by meaning.</p></Empty>
      )}
      {data && (
        <ol class={`hits ${loading ? 'stale' : ''}`}>
          {data.hits.map((h, i) => <HitView key={h.chunk} h={h} rank={i + 1} top={data.hits[0]!} />)}
        </ol>
      )}
      {q && data && <Autopsy question={q} search={{ ...search, k: 20 }} />}
    </>
  )
}

function HitView({ h, rank, top }: { h: Hit; rank: number; top: Hit }) {
  return (
    <li>
      <div class="hit-head">
        <span class="rank num" aria-label={`Rank ${rank}`}>{rank}</span>
        <div>
          <a class="title" href={passageHref(h.document, h.from, h.to)}>{h.title || h.path}</a>
          <span class="dim small path">{[where(h.page, h.heading_path), h.path].filter(Boolean).join(' · ')}</span>
        </div>
      </div>
      <p class="clip long">{emphasised(h.text, h.why.map((w) => w.term))}</p>
      <div class="scores small">
        <Score name="Score" value={h.score} part={top.score > 0 ? h.score / top.score : 0} />
        <Score name="Meaning" value={h.dense} rank={h.dense_rank} part={h.dense ?? 0} />
        <Score name="Words" value={h.bm25} rank={h.bm25_rank}
          part={h.bm25 && top.bm25 ? h.bm25 / Math.max(top.bm25, h.bm25) : 0} />
      </div>
      {h.why.length > 0 && (
        <details class="why small">
          <summary>Why: {h.why.slice(0, 5).map((w) => w.term).join(', ')}</summary>
          <table class="rows">
            <thead><tr><th>Term</th><th class="n">Adds</th><th class="n">Times in the passage</th>
              <th class="n">Passages with it</th></tr></thead>
            <tbody>
              {h.why.map((w) => (
                <tr key={w.term}><td>{w.term}</td><td class="n">{w.score.toFixed(2)}</td>
                  <td class="n">{w.tf}</td><td class="n">{w.df}</td></tr>
              ))}
            </tbody>
          </table>
        </details>
      )}
    </li>
  )
}

function Score({ name, value, rank, part }: {
  name: string; value: number | null; rank?: number | null; part: number
}) {
  return (
    <div class="score">
      <span>{name}</span>
      <span class="bar" aria-hidden="true">
        <span style={{ width: `${Math.max(0, Math.min(1, part)) * 100}%` }} />
      </span>
      <span class="num">{value === null ? 'not among them'
        : `${value.toPrecision(3)}${rank ? ` (no. ${rank})` : ''}`}</span>
    </div>
  )
}

/** Words that begin as one of the (stemmed) terms does. */
function emphasised(text: string, terms: string[]): ComponentChildren {
  const stems = terms.map((t) => t.toLowerCase()).filter((t) => t.length > 1)
  if (!stems.length) return text
  return text.split(/([\p{L}\p{N}]+)/u).map((part, i) => {
    const word = part.toLowerCase()
    return i % 2 && stems.some((s) => word.startsWith(s) && word.length - s.length < 5)
      ? <b key={i}>{part}</b> : part
  })
}
