import { useEffect, useRef, useState } from 'preact/hooks'
import { call } from '../api'
import { ask, currentTurn, isOpen, stopAsking, turns, type Turn } from '../asking'
import { AnswerView } from '../answer'
import { FilterBar } from '../filters'
import { count } from '../format'
import { status } from '../health'
import { href } from '../router'
import { useStore } from '../store'
import { Button, Icon, useLoad } from '../ui'
import { pickFiles } from '../uploads'
import type { Filters } from '../types'

// What is being written survives going to another page and back.
let draft = ''
let filters: Filters = {}

export function AskPage() {
  const all = useStore(turns)
  const current = useStore(currentTurn)
  const shown = all.find((t) => t.id === current)
  const earlier = all.filter((t) => t !== shown)
  return (
    <div class={`ask ${shown ? '' : 'fresh'}`}>
      {!shown && <Welcome />}
      <AskBox open={all.find(isOpen)} />
      {!shown && <Examples />}
      {shown && <AnswerView turn={shown} key={shown.id} />}
      {earlier.length > 0 && <History turns={earlier} />}
    </div>
  )
}

function Welcome() {
  const s = useStore(status)
  return (
    <header class="welcome">
      <h1 tabIndex={-1}>Ask your documents</h1>
      <p class="dim">
        {!s ? 'Answers with every claim traced to its page.'
          : s.documents > 0
            ? <>{count(s.documents, 'document')} in {count(s.chunks, 'passage')}, all on this
              machine. Every claim leads back to its page.</>
            : 'Nothing is indexed yet.'}
      </p>
    </header>
  )
}

function AskBox({ open }: { open?: Turn }) {
  const [question, setQuestion] = useState(draft)
  const [filtering, setFiltering] = useState(Object.values(filters).some(Boolean))
  const [chosen, setChosen] = useState(filters)
  const box = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    draft = question
    const b = box.current!
    b.style.height = 'auto'
    b.style.height = `${b.scrollHeight}px`
  }, [question])
  useEffect(() => {
    if (matchMedia('(hover: hover)').matches) box.current?.focus()
  }, [])
  const send = () => {
    const q = question.trim()
    if (!q) return box.current?.focus()
    const set = Object.fromEntries(
      Object.entries(chosen).filter(([, v]) => v?.trim())) as Filters
    void ask(q, set)
    setQuestion('')
    if (!matchMedia('(hover: hover)').matches) box.current?.blur() // puts the keyboard away
  }
  const active = Object.values(chosen).filter(Boolean).length
  return (
    <form class="ask-box" role="search" aria-label="Ask a question"
      onSubmit={(e) => { e.preventDefault(); send() }}>
      <textarea ref={box} id="question" rows={1} value={question} maxLength={8000}
        placeholder="What would you like to know?" aria-label="Your question" enterkeyhint="send"
        onInput={(e) => setQuestion(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) {
            e.preventDefault()
            send()
          }
        }} />
      <div class="ask-row">
        <Button icon="filter" kind="quiet" aria-expanded={filtering}
          onClick={() => setFiltering(!filtering)}>
          Filters{active ? ` (${active})` : ''}
        </Button>
        <span class="hint dim"><kbd>Enter</kbd> asks · <kbd>Shift</kbd> <kbd>Enter</kbd> new line</span>
        {open && <Button icon="stop" onClick={() => stopAsking(open.id)}>Stop</Button>}
        <Button icon="send" kind="main" type="submit">Ask</Button>
      </div>
      {filtering && (
        <FilterBar value={chosen} onChange={(f) => { filters = f; setChosen(f) }} />
      )}
    </form>
  )
}

/** Questions that this collection can answer, made from its own titles. */
function Examples() {
  const s = useStore(status)
  const { data } = useLoad((signal) => call('GET /api/v1/documents',
    { query: { status: 'indexed', limit: 12 }, signal }), [s?.documents])
  if (!data) return null
  if (!data.total)
    return (
      <div class="invite">
        <Icon name="upload" />
        <p>Drop files anywhere on this page, or</p>
        <Button kind="main" onClick={pickFiles}>Choose files</Button>
        <p class="dim">PDF, Word, PowerPoint, Excel, HTML, Markdown, text, CSV, JSON, EPUB, e-mail.
          They stay on this machine. A whole folder: <code>croft ingest FOLDER</code></p>
      </div>
    )
  const titles = [...new Set(data.documents.map((d) => d.title).filter((t) => t && t.length < 60))]
  const questions = titles.slice(0, 4).map((t, i) =>
    i % 2 ? `What are the main points of “${t}”?` : `What is “${t}” about?`)
  return (
    <div class="examples">
      <h2 class="small-head">Try one of these</h2>
      <ul>
        {questions.map((q) => (
          <li key={q}><button type="button" onClick={() => void ask(q, filters)}>{q}</button></li>
        ))}
      </ul>
      <p><a href={href('documents')}>See all documents</a></p>
    </div>
  )
}

function History({ turns: list }: { turns: Turn[] }) {
  return (
    <section class="history" aria-label="Earlier questions">
      <h2 class="small-head">Earlier in this session</h2>
      <ul>
        {list.map((t) => (
          <li key={t.id}>
            <button type="button" onClick={() => { currentTurn.set(t.id); scrollTo(0, 0) }}>
              <span>{t.question}</span>
              <span class="dim">{t.answer?.grounded === false ? 'not in the documents'
                : t.phase === 'done' ? count(t.answer?.sources.length ?? 0, 'source')
                  : isOpen(t) ? 'answering …' : t.phase}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
