// A document's text with a passage and the quote in it marked, and the panel that shows it beside
// the page. The panel's state is the address: ?p=DOCUMENT.FROM.TO, so that Back closes it.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { call } from './api'
import { Text } from './bytes'
import { currentPlace, href, navigate, usePlace, withQuery } from './router'
import { Badge, Button, DownloadLink, Failure, useLoad, useMedia, where } from './ui'
import type { Block, Chunk, DocumentText } from './types'

export interface Range { from: number; to: number }

/** The address that shows this range of a document beside the page that we are on. */
export const passageHref = (document: string, from: number, to: number): string =>
  withQuery({ p: `${document}.${from}.${to}` })

const opened = (): { id: string; from: number; to: number } | null => {
  const m = /^([^.]+)\.(\d+)\.(\d+)$/.exec(currentPlace().query.get('p') ?? '')
  return m && { id: m[1]!, from: Number(m[2]), to: Number(m[3]) }
}

// ---- the text

const MARGIN = 6000 // bytes shown before and after what is asked for
const MORE = 20_000

export function DocumentView({ doc, focus, passage }: {
  doc: { text: Text; blocks: Block[] }
  /** What to mark strongly and bring into view. */
  focus: Range | null
  /** The chunk around it, marked lightly. */
  passage?: Range | null
}) {
  const { text, blocks } = doc
  const centre = focus ?? { from: 0, to: 0 }
  const [shown, setShown] = useState<Range>({ from: 0, to: 0 })
  const ref = useRef<HTMLDivElement>(null)
  useLayoutEffect(() => {
    const all = text.length <= 60_000
    setShown({
      from: all ? 0 : Math.min(centre.from, passage?.from ?? centre.from) - MARGIN,
      to: all ? text.length : Math.max(centre.to, passage?.to ?? 0) + MARGIN,
    })
  }, [doc, centre.from, centre.to, passage?.from])
  useEffect(() => {
    bringIntoView(ref.current)
  }, [doc, centre.from, centre.to, shown.to > 0])
  const visible = blocks.filter((b) => b.to > shown.from && b.from < shown.to)
  let page = 0
  return (
    <div class="document-text" ref={ref}>
      {visible.length > 0 && visible[0] !== blocks[0] && (
        <Button onClick={() => setShown((s) => ({ ...s, from: s.from - MORE }))}>
          Show what stands before
        </Button>
      )}
      {visible.map((b) => {
        const turned = b.page > 0 && b.page !== page
        page = b.page
        return [
          turned && <div class="page-mark" key={`p${b.page}`}><span>Page {b.page}</span></div>,
          <BlockView key={b.from} text={text} block={b} focus={focus} passage={passage ?? null} />,
        ]
      })}
      {visible.length > 0 && visible[visible.length - 1] !== blocks[blocks.length - 1] && (
        <Button onClick={() => setShown((s) => ({ ...s, to: s.to + MORE }))}>
          Show what follows
        </Button>
      )}
    </div>
  )
}

/** Puts the mark in the upper part of what scrolls around it, and moves nothing else. */
function bringIntoView(root: HTMLElement | null): void {
  const mark = root?.querySelector('mark.focus')
  if (!mark) return
  const frame = mark.closest('.scroll')
  const top = mark.getBoundingClientRect().top - (frame?.getBoundingClientRect().top ?? 0)
  ;(frame ?? window).scrollBy(0, top - (frame?.clientHeight ?? innerHeight) / 4)
}

function BlockView({ text, block, focus, passage }: {
  text: Text; block: Block; focus: Range | null; passage: Range | null
}) {
  const cuts = [focus?.from, focus?.to, passage?.from, passage?.to]
    .filter((c): c is number => c !== undefined && c > block.from && c < block.to)
  const points = [...new Set([block.from, ...cuts, block.to])].sort((a, b) => a - b)
  const inside = (r: Range | null, from: number) => !!r && from >= r.from && from < r.to
  // all of a passage is marked more softly than a quote in one
  const whole = !passage || (passage.from === focus?.from && passage.to === focus.to)
  const parts = points.slice(0, -1).map((from, i) => {
    const part = text.slice(from, points[i + 1]!)
    if (inside(focus, from)) return <mark class={`focus ${whole ? 'whole' : ''}`}>{part}</mark>
    return inside(passage, from) ? <mark class="around">{part}</mark> : part
  })
  const kind = block.kind
  if (kind === 'title' || kind === 'heading')
    return <p class={`block heading level-${block.level || 1}`} role="heading"
      aria-level={Math.min(6, 2 + (block.level || 1))}>{parts}</p>
  if (kind === 'code') return <pre class="block" tabIndex={0}>{parts}</pre>
  return <p class={`block ${kind.replace('_', '-')}`}>{parts}</p>
}

// ---- getting it

type Content = DocumentText & { chunks: Chunk[]; view: { text: Text; blocks: Block[] } }
const kept = new Map<string, { at: number; content: Promise<Content> }>()

/** A document's text and chunks; kept for half a minute, so that going through passages is quick. */
export function content(id: string): Promise<Content> {
  const have = kept.get(id)
  if (have && Date.now() - have.at < 30_000) return have.content
  const loading = Promise.all([
    call('GET /api/v1/documents/{id}/text', { params: { id } }),
    call('GET /api/v1/documents/{id}/chunks', { params: { id } }),
  ]).then(([t, c]) => {
    const text = new Text(t.text)
    const blocks = t.blocks.length ? t.blocks
      : [{ kind: 'paragraph', from: 0, to: text.length, page: 0, level: 0 }]
    return { ...t, chunks: c.chunks, view: { text, blocks } }
  })
  loading.catch(() => kept.delete(id))
  kept.delete(id)
  kept.set(id, { at: Date.now(), content: loading })
  if (kept.size > 4) kept.delete(kept.keys().next().value!)
  return loading
}

export const forget = (): void => kept.clear()

// ---- the panel

export const panelIsOpen = (): boolean => opened() !== null
export const closePanel = (): void => navigate(withQuery({ p: null }))

export function PassagePanel() {
  usePlace()
  const at = opened()
  return at && <Panel key={at.id} {...at} />
}

function Panel({ id, from, to }: { id: string; from: number; to: number }) {
  const { data, error, reload } = useLoad(() => content(id), [id])
  const sheet = useMedia('(max-width: 1099px)')
  const ref = useRef<HTMLElement>(null)
  const focus = useMemo(() => ({ from, to }), [from, to])
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null
    ref.current?.focus()
    return () => before?.isConnected ? before.focus() : undefined
  }, [])
  // A sheet covers the page: what is under it is out of reach until it closes.
  useEffect(() => {
    const under = document.querySelectorAll<HTMLElement>('.behind-panel')
    under.forEach((e) => (e.inert = sheet))
    return () => under.forEach((e) => (e.inert = false))
  }, [sheet])

  const chunks = data?.chunks ?? []
  const n = chunkAt(chunks, from, to)
  const chunk = chunks[n]
  const go = (i: number) => {
    const c = chunks[i]
    if (c) navigate(passageHref(id, c.from, c.to), { replace: true })
  }
  useEffect(() => {
    const onKey = (e: KeyboardEvent) => {
      if (e.ctrlKey || e.metaKey || e.altKey || isTyping(e.target)) return
      if (e.key === 'j') go(n + 1)
      if (e.key === 'k') go(n - 1)
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  })
  const d = data?.document
  // a passage can run over the end of a page: what counts is the page of the quote
  const block = data?.view.blocks.find((b) => b.to > from)
  const place = where(block?.page ?? chunk?.page ?? 0, chunk?.heading_path ?? '')
  return (
    <section class="panel" ref={ref} tabIndex={-1} aria-label="Passage"
      role={sheet ? 'dialog' : 'complementary'} aria-modal={sheet || undefined}>
      <header>
        <div>
          <h2>{d ? <a href={href('document', { id })}>{d.title || d.path}</a> : 'Passage'}</h2>
          {d && <p class="dim path"><Badge>{d.type}</Badge> {d.path}</p>}
        </div>
        <Button icon="close" label="Close the passage (Esc)" kind="quiet" onClick={closePanel} />
      </header>
      {place && <p class="where">{place}</p>}
      <div class="scroll" tabIndex={0} role="region" aria-label="Text of the document">
        {error && <Failure error={error} retry={reload} />}
        {!data && !error && <p class="dim">Opening the document …</p>}
        {data && <DocumentView doc={data.view} focus={focus} passage={chunk} />}
      </div>
      {d && (
        <footer>
          <Button icon="left" label="Previous passage (k)" disabled={n <= 0}
            onClick={() => go(n - 1)} />
          <span class="num" aria-live="polite">
            {chunk ? `Passage ${n + 1} of ${chunks.length}` : 'Between passages'}
          </span>
          <Button icon="right" label="Next passage (j)" disabled={n < 0 || n + 1 >= chunks.length}
            onClick={() => go(n + 1)} />
          <DownloadLink document={d} />
        </footer>
      )}
    </section>
  )
}

/** The chunk that is the range, else the first that holds all of it, else most of its start. */
function chunkAt(chunks: Chunk[], from: number, to: number): number {
  const same = chunks.findIndex((c) => c.from === from && c.to === to)
  if (same >= 0) return same
  const holds = chunks.findIndex((c) => c.from <= from && c.to >= to)
  return holds >= 0 ? holds : chunks.findIndex((c) => c.from <= from && c.to > from)
}

export const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
