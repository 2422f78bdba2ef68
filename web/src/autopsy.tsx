// An autopsy of a search: for a known answer, the stage that lost it, its ranks and what to change.
import { useEffect, useState } from 'preact/hooks'
import { stream } from './api'
import { href } from './router'
import { Badge, Button, Facts, Failure, Field } from './ui'
import type { Routes } from './types'

const ROUTE = 'POST /api/v1/eval/autopsy' as const
type Body = Routes[typeof ROUTE]['body']
type Reply = Routes[typeof ROUTE]['reply']
type Case = Reply['cases'][number]
type Events = { progress: { done: number; total: number }; result: Reply; error: { error: { message: string } } }

const titles: Record<string, string> = {
  not_ingested: 'Not ingested', misparsed: 'Lost in parsing', split: 'Split between chunks', filtered: 'Filtered out',
  not_retrieved: 'Not retrieved', aged_out: 'Too old', reranked_out: 'Reranked out', diversified_out: 'Too much like another',
  cut: 'Cut from the prompt', ignored: 'Ignored by the answer', unsupported: 'Unsupported', found: 'Found',
}

async function ask(body: Body, signal: AbortSignal): Promise<Reply> {
  for await (const e of stream<Events>(ROUTE, { body, signal })) {
    if (e.event === 'error') throw new Error(e.data.error.message)
    if (e.event === 'result') return e.data
  }
  throw new Error('The server ended without a result.')
}

/** search: the members of the request whose hits are on the page. */
export function Autopsy({ question, search }: { question: string; search: Omit<Body, 'questions'> }) {
  const [answer, setAnswer] = useState('')
  const [document, setDocument] = useState('')
  const [generate, setGenerate] = useState(false)
  const [running, setRunning] = useState<AbortController | null>(null)
  const [found, setFound] = useState<{ r: Reply; of: Case } | null>(null)
  const [error, setError] = useState<Error | null>(null)
  useEffect(() => { setFound(null); setError(null) }, [question, JSON.stringify(search)])
  const run = async () => {
    const stop = new AbortController()
    const known = { question, ...(answer.trim() && { answer: answer.trim() }), ...(document.trim() && { document: document.trim() }) }
    setRunning(stop)
    setError(null)
    try {
      const r = await ask({ ...search, questions: [known], generate }, stop.signal)
      setFound({ r, of: r.cases[0]! })
    } catch (e) {
      if (!stop.signal.aborted) setError(e as Error)
    }
    setRunning(null)
  }
  return (
    <details class="autopsy">
      <summary>Is the right passage missing? Find out where it was lost</summary>
      <form onSubmit={(e) => { e.preventDefault(); void run() }}>
        <Field label="The answer that you know">
          <input id="autopsy-answer" value={answer} onInput={(e) => setAnswer(e.currentTarget.value)} />
        </Field>
        <Field label="Its document, if you know it">
          <input value={document} placeholder="path or name" onInput={(e) => setDocument(e.currentTarget.value)} />
        </Field>
        <label class="small">
          <input type="checkbox" checked={generate} onChange={(e) => setGenerate(e.currentTarget.checked)} />
          Ask the chat model, too
        </label>
        <Button kind="main" icon="search" type="submit" disabled={!!running || !(answer.trim() || document.trim())}>
          {running ? 'Looking…' : 'Find out'}
        </Button>
        {running && <Button kind="quiet" icon="stop" onClick={() => running.abort()}>Stop</Button>}
      </form>
      {error && <Failure error={error} />}
      {found && <Verdict v={found.of} run={found.r.run} />}
    </details>
  )
}

const rank = (n: number | null) => (n === null ? 'nowhere' : `no. ${n}`)

function Verdict({ v, run }: { v: Case; run: string }) {
  const lost = v.stage !== 'found'
  return (
    <div class="verdict" role="status">
      <p>
        <Badge kind={lost ? 'error' : 'good'}>{titles[v.stage] ?? v.stage}</Badge> {v.why}
      </p>
      {lost && <p class="remedy">{v.remedy}</p>}
      <Facts rows={[
        ['Document', v.document ? `${v.document}${v.page ? `, page ${v.page}` : ''}` : 'none'],
        ['Text', v.quote ? `…${v.quote}…` : 'nowhere word for word'],
        ['Places', String(v.places)],
        ...(v.ranks ? [['Ranks', `words ${rank(v.ranks.keyword)}, meaning ${rank(v.ranks.dense)}, both ${rank(v.ranks.fused)}`] as
          [string, string]] : []),
        ...(v.path.length ? [['After each stage', v.path.map((s) => `${s.stage} ${rank(s.rank)}`).join(' → ')] as
          [string, string]] : []),
        ...(v.answer ? [['The answer', v.answer] as [string, string]] : []),
        ...(v.generated ? [['What the model wrote', v.generated] as [string, string]] : []),
        ...(v.notes.length ? [['Notes', v.notes.join('; ')] as [string, string]] : []),
        ['Run', <a href={href('run', { id: run })}>autopsy</a>],
      ]} />
    </div>
  )
}
