// A collection moves to another embedding model: begin, how far it is, how much the answers will change, cut over, back.
import { useEffect, useState } from 'preact/hooks'
import { call } from '../api'
import { count, duration, fullTime, size, when } from '../format'
import { IntervalBar, between } from '../interval'
import type { Collection, Routes } from '../types'
import type { CollectionMigration, CollectionMigrationPlan, MigrationJudged } from '../types.gen'
import { Badge, Button, Confirm, Empty, Failure, Note, Progress, useEvery, useLoad } from '../ui'

const AT = '/api/v1/collections/{name}/migrations' as const
type Step = 'cutover' | 'back' | 'drop' | 'cancel'
const words: Record<CollectionMigration['state'], string> = { preparing: 'Preparing', ready: 'Ready', cut_over: 'Cut over',
  rolled_back: 'Rolled back', dropped: 'Done', cancelled: 'Cancelled' }
const ended = (m: CollectionMigration) => m.state === 'dropped' || m.state === 'cancelled'

export function MigrateTab({ k, changed }: { k: Collection; changed: () => void }) {
  const [list, setList] = useState<CollectionMigration[] | null>(null), [error, setError] = useState<Error | null>(null)
  const load = () => call(`GET ${AT}`, { params: { name: k.name } }).then((r) => { setList(r.migrations); setError(null) }, setError)
  useEffect(() => void load(), [k.name])
  useEvery(1500, () => void load(), list?.some((m) => !ended(m)) ?? false)
  const going = new Set((list ?? []).filter((m) => !ended(m)).map((m) => m.space))
  const free = k.spaces.filter((s) => !going.has(s.name))
  return (
    <div class="migrate-tab">
      {error && <Failure error={error} retry={() => void load()} />}
      {list && !list.length && <p class="dim">Items are embedded with another model in the background, while searches go on.
        Both models are kept up to date until you decide.</p>}
      {list && free.length > 0 && <Begin k={k} spaces={free.map((s) => s.name)} begun={() => void load()} />}
      {list?.map((m) => <Move key={m.id} k={k} m={m} reload={() => { void load(); changed() }} />)}
      {list && !list.length && !free.length && <Empty title="Nothing to move" />}
    </div>
  )
}

function Begin({ k, spaces, begun }: { k: Collection; spaces: string[]; begun: () => void }) {
  const { data } = useLoad((signal) => call('GET /api/v1/models', { signal }), [])
  const [to, setTo] = useState(''), [space, setSpace] = useState(spaces[0]!), [field, setField] = useState('')
  const [plan, setPlan] = useState<CollectionMigrationPlan | null>(null), [error, setError] = useState<Error | null>(null)
  const [skip, setSkip] = useState(false), [busy, setBusy] = useState(false)
  const known = (data?.models ?? []).filter((m) => m.purpose === 'embed').map((m) => m.name)
  const send = async (only: boolean) => {
    setBusy(true)
    setError(null)
    const body: Routes[`POST ${typeof AT}`]['body'] = { to, space, plan: only, skip_without_text: skip, ...(field && { field }) }
    try {
      const r = await call(`POST ${AT}`, { params: { name: k.name }, body })
      setPlan(only ? r.plan : null)
      if (!only) begun()
    } catch (e) {
      setError(e as Error)
    }
    setBusy(false)
  }
  return (
    <>
      <form class="move-form" onSubmit={(e) => { e.preventDefault(); void send(true) }}>
        {spaces.length > 1 && <label>Vectors<select value={space} onChange={(e) => setSpace(e.currentTarget.value)}>
          {spaces.map((s) => <option key={s} value={s}>{s || '(without a name)'}</option>)}</select></label>}
        <label>Move to the model<input type="text" list="embedding-models" value={to} placeholder="its name"
          onInput={(e) => { setTo(e.currentTarget.value.trim()); setPlan(null) }} /></label>
        <datalist id="embedding-models">{known.map((m) => <option key={m} value={m} />)}</datalist>
        <label>Field with the text, for items without one<input type="text" value={field}
          onInput={(e) => { setField(e.currentTarget.value.trim()); setPlan(null) }} /></label>
        <Button type="submit" disabled={!to || busy}>What it takes</Button>
      </form>
      {error && <Failure error={error} />}
      {plan && (
        <Note title={`${count(plan.items, 'item')}: ${plan.from ?? 'your own vectors'} (${plan.from_size}) to ${to} (${plan.to_size})`}>
          <p>{plan.known > 0 && `${count(plan.known, 'text')} this model has embedded before. `}
            {size(plan.other_index_bytes)} of memory more until one of the two is dropped, {size(plan.stored_bytes)} in the database.</p>
          {plan.without_text > 0 && (
            <label class="move-line"><input type="checkbox" checked={skip} onChange={(e) => setSkip(e.currentTarget.checked)} />
              <span>Leave out {count(plan.without_text, 'item')} without a text ({plan.examples}): not found after the cut-over</span></label>
          )}
          <p><Button kind="main" disabled={busy || (plan.without_text > 0 && !skip)} onClick={() => void send(false)}>Begin</Button></p>
        </Note>
      )}
    </>
  )
}

function Move({ k, m, reload }: { k: Collection; m: CollectionMigration; reload: () => void }) {
  const [error, setError] = useState<Error | null>(null), [asks, setAsks] = useState<Step | null>(null)
  const lacking = m.failed + m.without_text
  const step = (what: Step, skip_failed = false) => call(`POST ${AT}/${what}`,
    { params: { name: k.name }, body: { id: m.id, ...(skip_failed && { skip_failed }) } as never }).then(() => { setError(null); reload() })
  const go = (what: Step) => void step(what).catch(setError)
  return (
    <section class={`move ${ended(m) ? 'ended' : ''}`} aria-label={`To ${m.to}`}>
      <div class="move-head">
        <h2>{m.space && `${m.space}: `}{m.from ?? 'your own vectors'} → {m.to}</h2>
        <Badge kind={m.state === 'ready' || m.state === 'cut_over' ? 'good' : ''}>{words[m.state]}</Badge>
        <span class="dim small" title={fullTime(m.begun)}>begun {when(m.begun)}</span>
      </div>
      {m.state === 'preparing' && <Progress value={m.total ? m.done / m.total : 1} label="Items embedded" />}
      <div class="move-numbers">
        <span><b>{m.done.toLocaleString('en')}</b> of {count(m.total, 'item')}</span>
        {m.state === 'preparing' && m.rate > 0 && <span>{Math.round(m.rate).toLocaleString('en')} a second</span>}
        {m.left_s !== null && m.left_s > 0 && <span>about {duration(1000 * m.left_s)} left</span>}
        <span><b>{m.embedded.toLocaleString('en')}</b> embedded, <b>{m.known.toLocaleString('en')}</b> known before</span>
        {m.pending > 0 && <span>{count(m.pending, 'changed item')} waiting</span>}
      </div>
      {m.stalled && <Note kind="warn" title="It waits, and goes on by itself.">{' '}{m.stalled}</Note>}
      {lacking > 0 && !ended(m) && (
        <details>
          <summary>{count(lacking, 'item')} without a vector in the other space</summary>
          <ul class="move-failures">{m.failures.map((f) => <li key={f.id}><code>{f.id}</code>: {f.reason}</li>)}</ul>
        </details>
      )}
      <Agreement m={m} />
      {m.judged && <Judged j={m.judged} />}
      {error && <Failure error={error} />}
      <div class="move-acts">
        {(m.state === 'ready' || m.state === 'rolled_back') && (
          <Button kind="main" onClick={() => (m.failed > 0 ? setAsks('cutover') : go('cutover'))}>Cut over</Button>)}
        {m.state === 'cut_over' && <Button kind="main" icon="retry" onClick={() => go('back')}>Back to {m.from ?? 'the former vectors'}</Button>}
        {(m.state === 'cut_over' || m.state === 'rolled_back') && (
          <Button icon="trash" onClick={() => setAsks('drop')}>Drop {m.state === 'cut_over' ? m.from ?? 'the former vectors' : m.to}</Button>)}
        {(m.state === 'preparing' || m.state === 'ready') && <Button icon="stop" onClick={() => setAsks('cancel')}>Cancel</Button>}
      </div>
      {asks === 'cutover' && (
        <Confirm title={`Cut over without ${count(lacking, 'item')}?`} action="Cut over" onClose={() => setAsks(null)}
          onYes={() => step('cutover', true)}><p>They could not be embedded, and will not be found.</p></Confirm>
      )}
      {(asks === 'drop' || asks === 'cancel') && (
        <Confirm title={asks === 'drop' ? 'Drop the space that does not answer?' : 'Cancel the migration?'}
          action={asks === 'drop' ? 'Drop' : 'Cancel it'} onClose={() => setAsks(null)} onYes={() => step(asks)}>
          <p>{asks === 'drop' ? 'After that there is no way back but another migration. ' : ''}Texts that were embedded stay known.</p>
        </Confirm>
      )}
    </section>
  )
}

function Agreement({ m }: { m: CollectionMigration }) {
  const a = m.agreement
  if (!a) return ended(m) ? null : (
    <p class="dim small">{m.shadow > 0 ? `No query was answered in both spaces yet (${Math.round(100 * m.shadow)} % of those by text are).`
      : 'Queries are not answered in both spaces.'}</p>
  )
  return (
    <>
      <p class="small">{count(a.queries, 'query', 'queries')} answered in both spaces, {a.k.toFixed(0)} hits each
        {a.passed_over > 0 && `; ${a.passed_over} passed over because too many came at once`}</p>
      <div class="agree">
        <span>Same hits</span><IntervalBar value={a.overlap} /><span>{between(a.overlap)}</span>
        <span title="Rank-biased overlap: the first ranks count most">Same order</span><IntervalBar value={a.rbo} /><span>{between(a.rbo)}</span>
      </div>
    </>
  )
}

const signed = (v: number) => `${v < 0 ? '−' : '+'}${Math.abs(v).toFixed(3)}`

function Judged({ j }: { j: MigrationJudged }) {
  return (
    <div class="table-frame">
      <table class="rows">
        <caption class="small">{j.name || 'Judged queries'}: {count(j.queries, 'query', 'queries')}</caption>
        <thead><tr><th>Measure</th><th class="n">From</th><th class="n">To</th><th class="n">Difference</th><th>95 %</th></tr></thead>
        <tbody>
          {j.metrics.map((r) => (
            <tr key={r.metric}>
              <td data-name="Measure">{r.metric}</td>
              <td data-name="From" class="n">{r.from.mean.toFixed(3)}</td>
              <td data-name="To" class="n">{r.to.mean.toFixed(3)}</td>
              <td data-name="Difference" class="n"><b>{signed(r.difference.mean)}</b></td>
              <td data-name="95 %">{signed(r.difference.low)} to {signed(r.difference.high)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
