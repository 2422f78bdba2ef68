// Spans as a tree beside their time. Only the rows in view are drawn, so that ten thousand spans
// scroll like ten. Arrow keys move, left and right fold.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { duration } from './format'
import { Icon } from './ui'
import type { TraceSpan } from './types'

const ROW = 28 // pixels, as in app.css
const OVER = 8 // rows drawn beyond the edges

export interface Row { span: TraceSpan; depth: number; below: number }

/** Depth first, brothers by start; spans whose parent is not there stand at the top. What stands
 * below a folded span is left out. */
export function rowsOf(spans: TraceSpan[], folded: Set<string>): Row[] {
  const ids = new Set(spans.map((s) => s.id))
  const below = new Map<string, TraceSpan[]>()
  for (const s of [...spans].sort((a, b) => a.start_ms - b.start_ms)) {
    const parent = s.parent && ids.has(s.parent) ? s.parent : ''
    const list = below.get(parent)
    if (list) list.push(s)
    else below.set(parent, [s])
  }
  const rows: Row[] = []
  const seen = new Set<string>()
  // a stack of its own: a chain of ten thousand spans is no deeper than a list of them
  const stack = [...(below.get('') ?? [])].reverse().map((span) => ({ span, depth: 0 }))
  while (stack.length) {
    const { span, depth } = stack.pop()!
    if (seen.has(span.id)) continue
    seen.add(span.id)
    const children = below.get(span.id) ?? []
    rows.push({ span, depth, below: children.length })
    if (!folded.has(span.id))
      for (let i = children.length - 1; i >= 0; i--) stack.push({ span: children[i]!, depth: depth + 1 })
  }
  return rows
}

const fits = (s: TraceSpan, word: string): boolean =>
  [s.name, s.kind, s.model ?? '', s.error ?? '', s.status].some((t) => t.toLowerCase().includes(word))

export function Waterfall({ spans, total, chosen, choose }: {
  spans: TraceSpan[]; total: number; chosen: string | null; choose: (id: string | null) => void
}) {
  const [folded, setFolded] = useState(new Set<string>())
  const [word, setWord] = useState('')
  const all = useMemo(() => rowsOf(spans, folded), [spans, folded])
  const rows = useMemo(() => word
    ? rowsOf(spans, new Set()).filter((r) => fits(r.span, word.toLowerCase())) : all, [spans, all, word])
  const box = useRef<HTMLDivElement>(null)
  const [top, setTop] = useState(0)
  const [height, setHeight] = useState(560)
  useEffect(() => {
    const el = box.current!
    const measure = () => setHeight(el.clientHeight)
    measure()
    const watch = new ResizeObserver(measure)
    watch.observe(el)
    return () => watch.disconnect()
  }, [])
  const at = rows.findIndex((r) => r.span.id === chosen)
  useEffect(() => { // what is chosen is in view
    const el = box.current
    if (!el || at < 0) return
    if (at * ROW < el.scrollTop) el.scrollTop = at * ROW
    else if ((at + 1) * ROW > el.scrollTop + el.clientHeight) el.scrollTop = (at + 1) * ROW - el.clientHeight
  }, [chosen])
  const fold = (id: string, on: boolean) => setFolded((f) => {
    const next = new Set(f)
    if (on) next.add(id)
    else next.delete(id)
    return next
  })
  const onKey = (e: KeyboardEvent) => {
    if (e.altKey || e.ctrlKey || e.metaKey) return
    const row = rows[at]
    const go = (i: number) => choose(rows[Math.max(0, Math.min(rows.length - 1, i))]?.span.id ?? null)
    if (e.key === 'ArrowDown') go(at + 1)
    else if (e.key === 'ArrowUp') go(at < 0 ? 0 : at - 1)
    else if (e.key === 'Home') go(0)
    else if (e.key === 'End') go(rows.length - 1)
    else if (e.key === 'PageDown') go(at + Math.floor(height / ROW))
    else if (e.key === 'PageUp') go(at - Math.floor(height / ROW))
    else if (e.key === 'ArrowLeft' && row) fold(row.span.id, true)
    else if (e.key === 'ArrowRight' && row) fold(row.span.id, false)
    else return
    e.preventDefault()
  }
  const first = Math.max(0, Math.floor(top / ROW) - OVER)
  const last = Math.min(rows.length, Math.ceil((top + height) / ROW) + OVER)
  return (
    <section class="waterfall" aria-label="Spans">
      {spans.length > 12 && (
        <div class="span-tools">
          <input type="search" placeholder="Find a span" aria-label="Find a span" value={word}
            onInput={(e) => setWord(e.currentTarget.value)} />
          <span class="dim small">
            {word ? `${rows.length} of ${spans.length}` : `${spans.length} spans`}
          </span>
          {spans.some((s) => s.status === 'error') && (
            <button type="button" class="button quiet" onClick={() => setWord(word === 'error' ? '' : 'error')}>
              {word === 'error' ? 'All' : 'Errors'}
            </button>
          )}
        </div>
      )}
      <Axis total={total} />
      <div class="span-box" ref={box} role="tree" tabIndex={0} aria-label="Spans" onKeyDown={onKey}
        onScroll={(e) => setTop(e.currentTarget.scrollTop)}
        aria-activedescendant={at >= 0 ? `span-${chosen}` : undefined}
        style={{ height: `${Math.min(Math.max(rows.length, 1) * ROW, 20 * ROW)}px` }}>
        <div style={{ height: `${rows.length * ROW}px`, position: 'relative' }}>
          {rows.slice(first, last).map((r, i) => (
            <SpanRow key={r.span.id} row={r} top={(first + i) * ROW} total={total} flat={!!word}
              on={r.span.id === chosen} folded={folded.has(r.span.id)} fold={fold} choose={choose} />
          ))}
        </div>
      </div>
      {!spans.length && <p class="dim">This run has no spans.</p>}
    </section>
  )
}

function Axis({ total }: { total: number }) {
  return (
    <div class="axis small dim num" aria-hidden="true">
      {[0, 0.25, 0.5, 0.75, 1].map((f) => (
        <span key={f} style={{ left: `${f * 100}%` }}>{f ? duration(total * f) : '0'}</span>
      ))}
    </div>
  )
}

// The same kind has the same colour everywhere; its name stands beside it.
const hue = (kind: string) => `hue${[...kind].reduce((h, c) => (h * 31 + c.charCodeAt(0)) >>> 0, 7) % 6}`

function SpanRow({ row: { span: s, depth, below }, top, total, on, flat, folded, fold, choose }: {
  row: Row; top: number; total: number; on: boolean; flat: boolean; folded: boolean
  fold: (id: string, on: boolean) => void; choose: (id: string | null) => void
}) {
  const length = s.duration_ms ?? Math.max(0, total - s.start_ms)
  const indent = flat ? 0 : Math.min(depth, 14) * 14
  return (
    <div id={`span-${s.id}`} class={`span ${on ? 'on' : ''} ${s.status}`} role="treeitem"
      aria-selected={on} aria-level={depth + 1} aria-expanded={below ? !folded : undefined}
      style={{ top: `${top}px` }} onClick={() => choose(on ? null : s.id)}>
      <span class="span-name" style={{ paddingLeft: `${indent}px` }}>
        {below > 0 && !flat ? (
          <button type="button" class={`fold ${folded ? '' : 'open'}`} tabIndex={-1}
            aria-label={folded ? 'Unfold' : 'Fold'}
            onClick={(e) => { e.stopPropagation(); fold(s.id, !folded) }}>
            <Icon name="right" />
          </button>
        ) : <span class="fold" />}
        {s.name} {s.kind !== s.name && <span class="dim small">{s.kind}</span>}
        {s.error !== null && <span class="reason small"> failed</span>}
      </span>
      <span class="span-track">
        <span class={`span-bar ${hue(s.kind)} ${s.duration_ms === null ? 'running' : ''}`} style={{
          left: `${Math.max(0, Math.min(99.5, (s.start_ms / total) * 100))}%`,
          width: `${Math.max(0.5, Math.min(100, (length / total) * 100))}%`,
        }} />
      </span>
      <span class="num span-ms">{duration(s.duration_ms)}</span>
    </div>
  )
}
