// The recall of a collection's live queries, the effort that holds it, and the memory of its indexes.
import { useState } from 'preact/hooks'
import { call } from '../api'
import { count, fullTime, size } from '../format'
import { IntervalBar, between } from '../interval'
import type { Collection } from '../types'
import type { CollectionRecall, RecallOf } from '../types.gen'
import { Button, Facts, Failure, useEvery, useLoad } from '../ui'

export function RecallTab({ k }: { k: Collection }) {
  const recall = useLoad((signal) => call('GET /api/v1/collections/{name}/recall', { params: { name: k.name }, signal }), [k.name])
  const memory = useLoad((signal) => call('GET /api/v1/collections/{name}/memory', { params: { name: k.name }, signal }), [k.name])
  useEvery(5000, () => { recall.reload(); memory.reload() })
  const r = recall.data, m = memory.data
  return (
    <div class="recall-tab">
      {recall.error && <Failure error={recall.error} retry={recall.reload} />}
      {memory.error && <Failure error={memory.error} retry={memory.reload} />}
      {r && m && <Limits k={k} target={r.recall_target} bytes={r.memory_bytes} total={m.total}
        changed={() => { recall.reload(); memory.reload() }} />}
      {r?.spaces.map((s) => <Space key={s.name} s={s} target={r.recall_target} />)}
      {m && (
        <>
          <h2>Memory</h2>
          <Facts rows={[['In all', <>{size(m.total)} ({m.total.toLocaleString('en')} bytes)
            {m.limit > 0 && <>, limit {size(m.limit)}</>}</>],
            ...m.spaces.map((s): [string, preact.ComponentChildren] => [`Vectors ${s.name}`,
              <>{size(s.total)}: values {size(s.vectors)}, graph {size(s.graph)}, other {size(s.other)}; each search {size(s.per_search)}</>]),
            ['Payloads', size(m.payloads)], ['Words', size(m.words)], ['Sparse vectors and lists', size(m.other_vectors)], ['Ids', size(m.ids)]]} />
        </>
      )}
    </div>
  )
}

function Limits({ k, target, bytes, total, changed }: { k: Collection; target: number; bytes: number; total: number; changed: () => void }) {
  const [recall, setRecall] = useState(String(target || '')), [memory, setMemory] = useState(bytes ? String(Math.round(bytes / 1e6)) : '')
  const [error, setError] = useState<Error | null>(null)
  const save = () => call('PATCH /api/v1/collections/{name}', { params: { name: k.name },
    body: { recall_target: Number(recall || 0), memory_bytes: Math.round(Number(memory || 0) * 1e6) } }).then(() => { setError(null); changed() }, setError)
  return (
    <>
      <form class="move-form" onSubmit={(e) => { e.preventDefault(); void save() }}>
        <label>Recall to reach<input type="number" min="0" max="0.9999" step="any" value={recall} placeholder="none"
          onInput={(e) => setRecall(e.currentTarget.value)} /></label>
        <label>Memory at most, MB<input type="number" min="0" step="any" value={memory} placeholder={`${Math.ceil(total / 1e6)} now`}
          onInput={(e) => setMemory(e.currentTarget.value)} /></label>
        <Button type="submit">Set</Button>
      </form>
      {error && <Failure error={error} />}
    </>
  )
}

function Space({ s, target }: { s: CollectionRecall; target: number }) {
  return (
    <section class="move" aria-label={`Recall ${s.name}`}>
      <div class="move-head"><h2>Recall{s.name && ` of ${s.name}`}</h2><span class="dim small">effort {s.ef}</span></div>
      {s.exact ? <p>So few items are compared one by one: every search is exact.</p> : <Measured of={s} target={target} />}
      {s.filtered.filter((of) => !s.exact && of.seen > 0).map((of) => (
        <section key={of.share_min} aria-label={`Recall ${s.name} filtered from ${share(of.share_min)}`}>
          <div class="move-head"><h3>With filters that {share(of.share_min)} to {share(of.share_max)} % of the items match</h3>
            <span class="dim small">effort {of.ef}</span></div>
          <Measured of={of} target={target} />
        </section>
      ))}
    </section>
  )
}

const share = (v: number) => String(Math.round(100 * v))

/** At the present effort, at the steps beside it, and over time. */
function Measured({ of, target }: { of: RecallOf; target: number }) {
  if (!of.now) return <p class="dim">Nothing measured yet: live queries are compared with exact searches as they come ({count(of.seen, 'query', 'queries')} so far).</p>
  return (
    <>
      <div class="agree">
        {of.steps.map((step) => (
          <>
            <span>{step.ef === of.now!.ef ? <b>effort {step.ef}</b> : `effort ${step.ef}`}</span>
            <IntervalBar value={step.recall} target={target} low={0.5} />
            <span>{between(step.recall)} <span class="dim small">{count(step.queries, 'query', 'queries')}</span></span>
          </>
        ))}
      </div>
      {of.past.length > 1 && <Past s={of} target={target} />}
    </>
  )
}

/** How it went: the mean and its interval over time. */
function Past({ s, target }: { s: RecallOf; target: number }) {
  const t = s.past.map((p) => Date.parse(p.at)), from = t[0]!, to = Math.max(t.at(-1)!, from + 1)
  const low = Math.max(0, Math.min(target || 1, ...s.past.map((p) => p.recall.low)) - 0.02)
  const x = (i: number) => (1000 * (t[i]! - from)) / (to - from), y = (v: number) => 100 - (100 * (v - low)) / (1 - low)
  const line = (pick: (p: RecallOf['past'][number]) => number) => s.past.map((p, i) => `${x(i).toFixed(1)},${y(pick(p)).toFixed(1)}`)
  return (
    <figure>
      <svg class="recall-past" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img"
        aria-label={`Recall from ${low.toFixed(2)} to 1 over time`}>
        <polygon class="band" points={[...line((p) => p.recall.high), ...line((p) => p.recall.low).reverse()].join(' ')} />
        {target > 0 && <line class="target" x1="0" x2="1000" y1={y(target)} y2={y(target)} />}
        <polyline class="mean" points={line((p) => p.recall.mean).join(' ')} />
      </svg>
      <figcaption class="recall-axis"><span>{fullTime(s.past[0]!.at)}</span><span>{low.toFixed(2)} to 1</span><span>{fullTime(s.past.at(-1)!.at)}</span></figcaption>
    </figure>
  )
}
