// One question with its answer: the steps as they happen, the text with its citations, the best
// supporting sentences beside it, the sources below.
import { useState } from 'preact/hooks'
import { ask, isOpen, type Turn } from './asking'
import { byteOffset, stringIndex } from './bytes'
import { count, duration } from './format'
import { Markdown, type Marks } from './markdown'
import { passageHref } from './passage'
import { href, usePlace } from './router'
import { StandsOn } from './stands_on'
import { Button, Icon, Note, useEvery, where } from './ui'
import type { BestSentence, Citation, Passage, Source } from './types'

/** How far a citation can be trusted: a sign and a word, so that colour is not needed. */
export const trust = {
  verbatim: { sign: '”', word: 'verbatim', means: 'the passage says it word for word' },
  supported: { sign: '≈', word: 'supported', means: 'the passage says it in other words' },
  unsupported: { sign: '?', word: 'unsupported', means: 'the passages do not say it' },
} as const

export function AnswerView({ turn: t }: { turn: Turn }) {
  usePlace() // links keep the rest of the address
  const open = isOpen(t)
  return (
    <article class="answer" aria-busy={open}>
      <h2 class="question">{t.question}</h2>
      <FiltersUsed turn={t} />
      <Steps turn={t} />
      <div class="answer-columns">
        <div class="answer-main">
          <Outcome turn={t} />
          {t.text && (
            <div class={`prose ${open ? 'writing' : ''}`} aria-live={open ? 'off' : 'polite'}>
              <Markdown text={t.text} marks={marksOf(t)} />
            </div>
          )}
          {t.answer && <Legend citations={t.answer.citations} />}
          {t.answer?.generated && <Replaced text={t.answer.generated} />}
          <div class="answer-actions">
            {!open && (
              <Button icon="retry" onClick={() => void ask(t.question, t.filters)}>Ask again</Button>
            )}
            {!open && t.text && <CopyButton text={t.text} />}
            {t.run && (
              <a class="button" href={href('run', { id: t.run })}><Icon name="runs" /> How it came about</a>
            )}
            {t.answer && <span class="dim small stands-on"><StandsOn set={t.answer.document_set} changes={t.answer.document_changes} /></span>}
          </div>
        </div>
        {t.best.length > 0 && (
          <Best sentences={t.best} passages={t.passages} near={t.answer?.grounded === false} />
        )}
        <div class="answer-rest">
          {t.answer && t.answer.sources.length > 0 && (
            <Sources sources={t.answer.sources} citations={t.answer.citations} />
          )}
          {t.passages.length > 0 && <Retrieved passages={t.passages} />}
        </div>
      </div>
    </article>
  )
}

/** Citations as chips; a mark after each sentence that stands on nothing and cites nothing. */
function marksOf(t: Turn): Marks {
  const bare = t.answer?.citations.filter((c) => c.n === 0) ?? []
  const ends = new Map(bare.map((c) => [stringIndex(t.text, c.answer_to), c]))
  return {
    cite: (n, index) => chip(t, n, index),
    at: [...ends.keys()],
    put: (index) => {
      const c = ends.get(index)!
      const says = `No passage supports this sentence${c.reason ? `: ${c.reason}` : ''}`
      return (
        <a class="cite unsupported" href={passageHref(c.document, c.from, c.to)}
          aria-label={`${says}. The nearest is in ${c.title}`} title={says}>
          <sup aria-hidden="true">{trust.unsupported.sign}</sup>
        </a>
      )
    },
  }
}

function chip(t: Turn, n: number, index: number) {
  const passage = t.passages.find((p) => p.n === n)
  const all = t.answer?.citations.filter((c) => c.n === n) ?? []
  const at = all.length > 1 ? byteOffset(t.text, index) : 0
  const c = all.find((x) => at >= x.answer_from && at < x.answer_to) ?? all[0]
  if (!c && !passage) return null
  const on = c ?? passage!
  const how = c && trust[c.status]
  const label = `Citation ${n}${how ? `, ${how.word}` : ''}: ${on.title}` +
    (on.page ? `, page ${on.page}` : '')
  return (
    <a class={`cite ${c?.status ?? 'pending'}`} key={`${n}.${index}`} aria-label={label}
      title={[label, c?.reason ?? how?.means, c?.added_by === 'check' && 'Found by the check, not written by the model.']
        .filter(Boolean).join('\n')}
      href={passageHref(on.document, on.from, on.to)}>
      {n}{how && <sup aria-hidden="true">{how.sign}</sup>}
    </a>
  )
}

function FiltersUsed({ turn }: { turn: Turn }) {
  const used = Object.entries(turn.filters).filter(([, v]) => v)
  if (!used.length) return null
  return <p class="dim small">Only {used.map(([k, v]) => `${k} ${v}`).join(', ')}</p>
}

// ---- the steps

function Steps({ turn: t }: { turn: Turn }) {
  const open = isOpen(t)
  const [now, setNow] = useState(Date.now())
  useEvery(100, () => setNow(Date.now()), open)
  const end = t.at.end ?? now
  const done = t.answer?.timings
  const writing = done?.decode_ms ?? (t.at.first ? end - t.at.first : undefined)
  const tokens = t.answer?.usage.completion_tokens ?? t.tokens
  const steps = [
    {
      name: 'Retrieving', past: 'Retrieved', on: t.phase === 'retrieving',
      ms: done?.retrieve_ms ?? (t.at.passages ?? end) - t.at.start,
      what: t.passages.length ? count(t.passages.length, 'passage') : '',
    },
    {
      name: 'Reading', past: 'Read', on: t.phase === 'reading',
      ms: done?.prompt_ms ?? (t.at.passages ? (t.at.first ?? end) - t.at.passages : undefined),
      what: t.answer?.usage.prompt_tokens
        ? `${count(t.answer.usage.passages_used, 'passage')}, ${count(t.answer.usage.prompt_tokens, 'token')}` : '',
    },
    {
      name: 'Writing', past: 'Wrote', on: t.phase === 'writing', ms: writing,
      what: tokens ? count(tokens, 'token') +
        (writing && writing > 50 ? `, ${Math.round((tokens / writing) * 1000)}/s` : '') : '',
    },
  ]
  const state = { retrieving: 'Retrieving passages', reading: 'Reading them', writing: 'Writing the answer',
    done: 'Answer complete', stopped: 'Stopped', failed: 'Failed' }[t.phase]
  return (
    <>
      <ol class="steps">
        {steps.map((s) => {
          const started = s.ms !== undefined && (s.on || s.ms > 0 || !!s.what)
          if (!open && !started) return null
          return (
            <li key={s.name} class={s.on && open ? 'on' : started ? 'past' : 'todo'}>
              <span class="dot" aria-hidden="true" />
              <span>{started && !(s.on && open) ? s.past : s.name}</span>
              {started && <span class="dim num">{s.what}{s.what && ' · '}{duration(s.ms!)}</span>}
            </li>
          )
        })}
        {done && (
          <li class="past">
            <span class="dot" aria-hidden="true" />
            <span>{done.check_ms > 0 ? 'Checked' : 'Done'}</span>
            <span class="dim num">
              {done.check_ms > 0 && <>{duration(done.check_ms)} · </>}{duration(done.total_ms)} in all
            </span>
          </li>
        )}
      </ol>
      <p class="sr" role="status">{state}</p>
    </>
  )
}

function Outcome({ turn: t }: { turn: Turn }) {
  if (t.phase === 'failed')
    return <Note kind="error" title="No answer.">{' '}{t.error?.message}</Note>
  if (t.phase === 'stopped')
    return <Note title="Stopped.">{' '}{t.text ? 'This is as far as it came; nothing of it was checked.' : ''}</Note>
  if (t.answer && !t.answer.grounded)
    return (
      <Note kind="warn" title="The documents do not answer this.">
        {' '}{t.answer.reason && sentence(t.answer.reason)}{t.best.length > 0 && ' The nearest sentences stand beside.'}
      </Note>
    )
  if (t.answer?.reason) return <Note>{sentence(t.answer.reason)}</Note>
  if (isOpen(t) && !t.text)
    return (
      <div class="waiting" aria-hidden="true"><span /><span /><span /></div>
    )
  return null
}

/** A reason of the server's as a sentence. */
const sentence = (reason: string): string =>
  reason.charAt(0).toUpperCase() + reason.slice(1).replace(/[.;]?$/, '.')

/** Never silent: what the model had written before the check took it back. */
function Replaced({ text }: { text: string }) {
  return (
    <details class="replaced small">
      <summary>What the model wrote, which no passage supports</summary>
      <p>{text}</p>
    </details>
  )
}

function Legend({ citations }: { citations: Citation[] }) {
  if (!citations.length) return null
  return (
    <p class="legend small">
      {(Object.keys(trust) as (keyof typeof trust)[]).map((k) => {
        const n = citations.filter((c) => c.status === k).length
        return n > 0 && (
          <span key={k}>
            <span class={`cite ${k}`} aria-hidden="true">n<sup>{trust[k].sign}</sup></span>
            {' '}{n} {trust[k].word}<span class="dim">: {trust[k].means}</span>
          </span>
        )
      })}
    </p>
  )
}

function CopyButton({ text }: { text: string }) {
  const [done, setDone] = useState(false)
  if (!navigator.clipboard) return null
  const copy = async () => {
    await navigator.clipboard.writeText(text).catch(() => {})
    setDone(true)
    setTimeout(() => setDone(false), 1500)
  }
  return <Button icon={done ? 'check' : 'documents'} onClick={copy}>{done ? 'Copied' : 'Copy'}</Button>
}

// ---- what it stands on

/** In quotation marks, unless it brings its own. */
function Quote({ text }: { text: string }) {
  return <q class={/^\s*["“”„«‘]/.test(text) ? 'quoted' : ''}>{text}</q>
}

function Best({ sentences, passages, near }: {
  sentences: BestSentence[]; passages: Passage[]; near: boolean
}) {
  const title = near ? 'Nearest sentences' : 'Best supporting sentences'
  return (
    <section class="best" aria-label={title}>
      <h3 class="small-head">{title}</h3>
      <p class="dim small">Word for word from your documents</p>
      <ol>
        {sentences.map((s) => {
          const p = passages.find((x) => x.n === s.n)
          return (
            <li key={`${s.document}.${s.from}`}>
              <a href={passageHref(s.document, s.from, s.to)}>
                <Quote text={s.text} />
                <span class="dim small">
                  <span class="cite plain">{s.n}</span> {p?.title ?? ''}
                  {s.page > 0 && <>, p. {s.page}</>}
                </span>
              </a>
            </li>
          )
        })}
      </ol>
    </section>
  )
}

function Sources({ sources, citations }: { sources: Source[]; citations: Citation[] }) {
  return (
    <section class="sources" aria-label="Sources">
      <h3 class="small-head">Sources</h3>
      <ol>
        {sources.map((s) => {
          const found = new Set(citations.filter((c) => c.n === s.n).map((c) => c.status))
          return (
            <li key={s.n}>
              <a href={passageHref(s.document, s.from, s.to)}>
                <span class="cite plain" aria-label={`Source ${s.n}`}>{s.n}</span>
                <span>
                  <strong>{s.title || s.path}</strong>
                  <span class="dim small">{[where(s.page, s.heading_path), s.path]
                    .filter(Boolean).join(' · ')}</span>
                  {s.quote && <Quote text={s.quote} />}
                  <span class="marks small">
                    {[...found].map((k) => (
                      <span key={k} class={`trust ${k}`}>{trust[k].sign} {trust[k].word}</span>
                    ))}
                  </span>
                </span>
              </a>
            </li>
          )
        })}
      </ol>
    </section>
  )
}

function Retrieved({ passages }: { passages: Passage[] }) {
  return (
    <details class="retrieved">
      <summary>All {count(passages.length, 'passage')} that were retrieved</summary>
      <ol>
        {passages.map((p) => (
          <li key={p.n}>
            <a href={passageHref(p.document, p.from, p.to)}>
              <span class="cite plain">{p.n}</span>
              <span>
                <strong>{p.title || p.path}</strong>
                <span class="dim small">{where(p.page, p.heading_path)}</span>
                <span class="clip">{p.text}</span>
              </span>
            </a>
          </li>
        ))}
      </ol>
    </details>
  )
}
