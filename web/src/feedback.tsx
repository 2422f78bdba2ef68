// Feedback on a run or one of its spans: what there is, and a form for more.
import { useState } from 'preact/hooks'
import { call } from './api'
import { when } from './format'
import { Badge, Button, Failure, Field } from './ui'
import type { Feedback, TraceSpan } from './types'

export function FeedbackView({ run, span, list, spans, reload }: {
  run: string; span: TraceSpan | null; list: Feedback[]; spans: TraceSpan[]; reload: () => void
}) {
  const shown = span ? list.filter((f) => f.span === span.id) : list
  const name = (id: string | null) => spans.find((s) => s.id === id)?.name
  return (
    <section class="feedback" aria-label="Feedback">
      <h2>Feedback</h2>
      {!shown.length && <p class="dim">Nobody has judged {span ? 'this span' : 'this run'} yet.</p>}
      <ul>
        {shown.map((f) => (
          <li key={f.id} class={f.valid ? '' : 'past'}>
            <p>
              <strong>{f.name}</strong> <Said f={f} />{' '}
              {f.kind === 'expectation' && <Badge>expected</Badge>}
              {!span && f.span && <span class="dim small"> on {name(f.span) ?? f.span}</span>}
              {!f.valid && <span class="dim small"> corrected since</span>}
            </p>
            {f.rationale && <p class="words">{f.rationale}</p>}
            <p class="dim small">
              {f.source_id || f.author} ({{ HUMAN: 'person', LLM_JUDGE: 'model', CODE: 'program' }[f.source]}),
              {' '}{when(f.changed)}{f.version > 1 && `, changed ${f.version - 1}×`}{' '}
              <TakeBack run={run} f={f} reload={reload} />
            </p>
          </li>
        ))}
      </ul>
      <Form run={run} span={span} reload={reload} />
    </section>
  )
}

function Said({ f }: { f: Feedback }) {
  if (f.error) return <span class="reason">{String(f.error['error_code'] ?? 'failed')}</span>
  if (f.value === true) return <span class="state ok"><span class="dot" aria-hidden="true" />yes</span>
  if (f.value === false) return <span class="state error"><span class="dot" aria-hidden="true" />no</span>
  return <code>{typeof f.value === 'string' ? f.value : JSON.stringify(f.value)}</code>
}

function TakeBack({ run, f, reload }: { run: string; f: Feedback; reload: () => void }) {
  const [error, setError] = useState<Error | null>(null)
  const go = () => call('DELETE /api/v1/runs/{id}/feedback/{feedback}', { params: { id: run, feedback: f.id } })
    .catch((e: Error) => { if (!(e instanceof SyntaxError)) throw e }) // no content
    .then(reload, (e: Error) => setError(e))
  return (
    <button type="button" class="link" onClick={() => void go()} title={error?.message}>
      {error ? 'failed' : 'take back'}
    </button>
  )
}

function valueOf(text: string): unknown {
  if (text === 'yes') return true
  if (text === 'no') return false
  const n = Number(text)
  return text.trim() && !isNaN(n) ? n : text
}

function Form({ run, span, reload }: { run: string; span: TraceSpan | null; reload: () => void }) {
  const [name, setName] = useState('helpful')
  const [value, setValue] = useState('')
  const [why, setWhy] = useState('')
  const [error, setError] = useState<Error | null>(null)
  const [busy, setBusy] = useState(false)
  const give = async (v: unknown) => {
    setBusy(true)
    try {
      await call('POST /api/v1/runs/{id}/feedback', { params: { id: run }, body: {
        name, value: v, ...(why ? { rationale: why } : {}), ...(span ? { span: span.id } : {}) } })
      setValue('')
      setWhy('')
      setError(null)
      reload()
    } catch (e) {
      setError(e as Error)
    }
    setBusy(false)
  }
  return (
    <form class="feedback-form" onSubmit={(e) => { e.preventDefault(); if (value.trim()) void give(valueOf(value.trim())) }}>
      <Field label="About"><input value={name} required maxLength={250}
        onInput={(e) => setName(e.currentTarget.value)} /></Field>
      <Field label="Number or words"><input value={value}
        onInput={(e) => setValue(e.currentTarget.value)} /></Field>
      <Field label="Why"><input value={why} onInput={(e) => setWhy(e.currentTarget.value)} /></Field>
      <div class="actions">
        <Button icon="check" disabled={busy || !name} onClick={() => void give(true)}>Yes</Button>
        <Button icon="close" disabled={busy || !name} onClick={() => void give(false)}>No</Button>
        <Button type="submit" disabled={busy || !name || !value.trim()}>Give</Button>
      </div>
      {error && <Failure error={error} />}
    </form>
  )
}
