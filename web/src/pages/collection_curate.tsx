// Curation of a collection: what was found, looked at case by case, accepted or kept by keyboard or in bulk, and made
// into a dataset.
import { useEffect, useRef, useState } from 'preact/hooks'
import { call } from '../api'
import { finished } from '../bulk'
import { count, duration, fullTime, when } from '../format'
import { filterOf, PartPicker, said as partSaid, WHOLE, type Part } from '../part'
import { navigate, usePlace, withQuery } from '../router'
import type { Collection, Curation, CurationCase, CurationState } from '../types'
import { Badge, Button, Choice, Confirm, Dialog, Empty, Failure, Field, Note, Progress, useEvery, useLoad } from '../ui'

type Kind = 'duplicates' | 'outliers' | 'mislabelled' | 'sample' | 'propagate' | 'balance'
type Id = number | string
const KINDS: [Kind, string][] = [['duplicates', 'Duplicates'], ['outliers', 'Outliers'], ['mislabelled', 'Wrong labels'],
  ['sample', 'To label'], ['propagate', 'Spread labels'], ['balance', 'Balance']]
const PAGE = 20, CURATE = '/api/v1/collections/{name}/curate/{kind}' as const

export function CurateTab({ k }: { k: Collection }) {
  const { query } = usePlace()
  const kind = KINDS.find(([name]) => name === query.get('kind'))?.[0] ?? 'duplicates'
  return (
    <div class="curate-tab">
      <Choice label="Look for" value={kind} options={KINDS} onChange={(v) => navigate(withQuery({ kind: v }))} />
      <KindView key={kind} k={k} kind={kind} />
    </div>
  )
}

function KindView({ k, kind }: { k: Collection; kind: Kind }) {
  const [state, setState] = useState<CurationState | null>(null), [error, setError] = useState<Error | null>(null)
  const [from, setFrom] = useState(0)
  const params = { name: k.name, kind }, running = state?.state === 'running'
  const load = (at = from) => call(`GET ${CURATE}`, { params, query: { from: at, limit: PAGE } })
    .then((s) => { setState(s); setFrom(at); setError(null) }, setError)
  useEffect(() => void load(0), [k.name, kind])
  useEvery(400, () => void load(0), running)
  const begin = (body: Record<string, unknown>) =>
    call(`POST ${CURATE}`, { params, body: body as never }).then(() => load(0), setError)
  const r = state?.result, at = state?.progress
  return (
    <>
      <Ask k={k} kind={kind} before={r?.parameters} busy={running} begin={begin} />
      {error && <Failure error={error} retry={() => void load()} />}
      {state?.state === 'failed' && <Note kind="warn" title="The last look was not finished.">{state.error}</Note>}
      {running && at && (
        <div class="map-making" role="status">
          <span class="small">Looking: {at.what}{at.total > 0 && ` ${Math.floor((100 * at.done) / at.total)} %`}</span>
          <Progress value={at.total ? at.done / at.total : null} label="Looking" />
          <Button icon="stop" kind="quiet" onClick={() => void call(`DELETE ${CURATE}`, { params }).then(() => load(), setError)}>Stop</Button>
        </div>
      )}
      {state && !r && !running && <Empty title="Not looked for yet" />}
      {r && <Found key={r.made} k={k} kind={kind} r={r} from={from} turn={(to) => void load(to)} />}
    </>
  )
}

// ---- what is asked

/** Names of members that could be classes, from the first items. */
function useFields(k: Collection): string[] {
  const { data } = useLoad((signal) => call('GET /api/v1/collections/{name}/items',
    { params: { name: k.name }, query: { limit: 50 }, signal }), [k.name])
  const names = new Set<string>()
  for (const i of data?.items ?? [])
    for (const [name, v] of Object.entries(i.payload))
      if (name !== 'text' && (typeof v !== 'object' || v === null)) names.add(name)
  return [...names]
}

function Ask({ k, kind, before, busy, begin }: { k: Collection; kind: Kind; before?: Record<string, unknown>; busy: boolean
  begin: (body: Record<string, unknown>) => Promise<unknown> }) {
  const fields = useFields(k)
  const euclid = k.spaces[0]?.distance === 'Euclid'
  const [set, setSet] = useState<Record<string, string>>({}), [part, setPart] = useState<Part>(WHOLE)
  const value = (name: string, otherwise = '') => set[name] ?? (before?.[name] === undefined ? otherwise : String(before[name]))
  const put = (name: string) => (e: { currentTarget: { value: string } }) => setSet({ ...set, [name]: e.currentTarget.value })
  const needs = kind === 'mislabelled' || kind === 'propagate' || kind === 'balance'
  const label = value('label')
  const send = (e: Event) => {
    e.preventDefault()
    const body: Record<string, unknown> = {}
    const number = (name: string, otherwise = '') => { const v = value(name, otherwise).trim(); if (v) body[name] = Number(v) }
    const text = (name: string, otherwise = '') => { const v = value(name, otherwise).trim(); if (v) body[name] = v }
    if (kind !== 'duplicates') text('label')
    if (kind === 'duplicates') { number('threshold', euclid ? '' : '0.95'); text('keep', 'first') }
    if (kind === 'outliers') { number('share', '0.01'); text('method', 'lof') }
    if (kind === 'sample') { number('count', '100'); text('method', 'centre'); text('scores') }
    if (kind === 'propagate') number('threshold')
    const filter = filterOf(part)
    if (filter) body.filter = filter
    void begin(body)
  }
  const pick = (name: string, what: string, options: [string, string][], otherwise: string) => (
    <label>{what}<select value={value(name, otherwise)} onChange={put(name)}>
      {options.map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select></label>
  )
  const figure = (name: string, what: string, otherwise: string, step = 'any') => (
    <label>{what}<input type="number" step={step} value={value(name, otherwise)} onInput={put(name)} /></label>
  )
  const field = (name: string, what: string, empty: string) => pick(name, what,
    [['', empty], ...[...new Set([...fields, ...(value(name) ? [value(name)] : [])])].map((f): [string, string] => [f, f])], '')
  return (
    <form class="curate-form" onSubmit={send}>
      {kind === 'duplicates' && figure('threshold', euclid ? 'At most apart' : 'Least cosine', euclid ? '' : '0.95')}
      {kind === 'duplicates' && pick('keep', 'Stays', [['first', 'the first'], ['last', 'the last'], ['centre', 'the central one'],
        ['longest', 'the longest text']], 'first')}
      {kind === 'outliers' && figure('share', 'Share', '0.01')}
      {kind === 'outliers' && pick('method', 'Measure', [['lof', 'thinly sown'], ['distance', 'far away']], 'lof')}
      {kind === 'sample' && figure('count', 'How many', '100', '1')}
      {kind === 'sample' && pick('method', 'Which', [['centre', 'that cover all'], ['uncertain', 'that are uncertain']], 'centre')}
      {kind === 'sample' && value('method', 'centre') === 'uncertain' && field('scores', 'Scores of a model', 'none')}
      {kind === 'propagate' && figure('threshold', 'Least confidence', '')}
      {kind !== 'duplicates' && field('label', kind === 'outliers' ? 'Within classes of' : 'Field of the label', needs ? 'choose' : 'none')}
      <PartPicker fields={fields} part={part} onChange={setPart} />
      <Button kind="main" icon="search" type="submit" disabled={busy || (needs && !label)}>Look</Button>
    </form>
  )
}

// ---- what was found

const percent = (v: unknown) => `${(100 * Number(v)).toFixed(1)} %`

/** The summary as a sentence. */
function summed(kind: Kind, r: Curation): string {
  const s = r.summary as Record<string, number>
  switch (kind) {
    case 'duplicates': return `${count(s.groups!, 'group')} of ${count(s.grouped!, 'item')}; ${count(s.duplicates!, 'duplicate')}, ${count(s.remaining!, 'item')} remain${r.summary.exact ? '' : s.recall === undefined ? ' (nearest ones only)' : ` (of those that have one, ${percent(s.recall)} are with all of theirs)`}`
    case 'outliers': return `${count(s.outliers!, 'outlier')} of ${count(s.scored!, 'item')}; the score in the middle is ${s.median!.toPrecision(3)}`
    case 'mislabelled': return `${count(s.mislabelled!, 'label')} of ${s.labelled!.toLocaleString('en')} may be wrong; neighbours agree with ${percent(s.agreement)}`
    case 'sample': return `${count(s.chosen!, 'item')} to label`
    case 'propagate': return `${count(s.offered!, 'label')} offered to ${count(s.unlabelled!, 'item')} without one${s.accuracy === undefined ? '' : `; ${percent(s.accuracy)} of ${s.hidden} hidden labels came back (${percent(s.accuracy_low)} to ${percent(s.accuracy_high)})`}`
    case 'balance': return `${count(s.classes_found!, 'class', 'classes')}, ${count(s.labelled!, 'item')} with a label, ${s.unlabelled!.toLocaleString('en')} without${s.covered === undefined ? '' : `, of which ${percent(s.covered)} lie near one that has`}`
  }
}

type Decision = 'accepted' | 'kept'
const ACCEPT: Record<Kind, ['tag' | 'label', string]> = { duplicates: ['tag', 'Tag duplicates'], outliers: ['tag', 'Tag'],
  mislabelled: ['label', 'Accept'], sample: ['tag', 'Tag'], propagate: ['label', 'Accept'], balance: ['tag', ''] }

function Found({ k, kind, r, from, turn }: { k: Collection; kind: Kind; r: Curation; from: number; turn: (to: number) => void }) {
  const [decided, setDecided] = useState<Map<string, Decision>>(new Map()), [error, setError] = useState<Error | null>(null)
  const [said, setSaid] = useState(''), [asking, setAsking] = useState<'all' | 'delete' | 'dataset' | null>(null)
  const [at, setAt] = useState(0)
  const list = useRef<HTMLOListElement>(null)
  const groups = grouped(kind, r.cases), params = { name: k.name, kind }
  const [action, word] = ACCEPT[kind], bulk = kind === 'duplicates' ? 'Tag all duplicates' : `${word} all`
  const writes = kind === 'sample' && typeof r.parameters.label === 'string'
  useEffect(() => setAt(0), [from])
  const apply = (action: 'tag' | 'label' | 'checked' | 'delete', ids?: Id[]) =>
    call(`POST ${CURATE}/apply`, { params, body: { action, ...(ids && { ids }) } })
      .then((job) => finished(k.name, job, (j) => j.progress && setSaid(`${j.items.toLocaleString('en')} of ${j.progress.total.toLocaleString('en')} cases ...`)))
  const decide = async (n: number, how: Decision) => {
    const group = groups[n]
    if (!group) return
    try {
      const ids = group.map((c) => c.id)
      if (how === 'accepted') await apply(ACCEPT[kind][0], ids)
      else if (kind === 'mislabelled') await apply('checked', ids)
      setDecided((d) => new Map(d).set(keyOf(kind, group[0]!), how))
      setError(null)
      focus(n + 1)
    } catch (e) {
      setError(e as Error)
    }
  }
  const focus = (n: number) => {
    const to = Math.max(0, Math.min(groups.length - 1, n))
    setAt(to)
    list.current?.querySelectorAll<HTMLElement>('.case')[to]?.focus()
  }
  const key = (e: KeyboardEvent) => {
    if ((e.target as Element).closest('input')) return
    if (e.key === 'ArrowDown' || e.key === 'j') focus(at + 1)
    else if (e.key === 'ArrowUp') focus(at - 1)
    else if (writes) return
    else if (e.key === 'a') void decide(at, 'accepted')
    else if (e.key === 'k') void decide(at, 'kept')
    else return
    e.preventDefault()
  }
  const all = async (action: 'tag' | 'label' | 'delete') => {
    const done = await apply(action)
    setSaid(`${count(done.items, 'item')} ${action === 'delete' ? 'deleted' : action === 'label' ? 'labelled' : 'tagged'}.`)
    setAsking(null)
  }
  return (
    <section aria-label="What was found">
      <p class="curate-sum"><strong>{summed(kind, r)}</strong>{' '}
        <span class="dim small">in {duration(r.took_ms)}, <span title={fullTime(r.made)}>{when(r.made)}</span>
          {r.parameters.filter && `; where ${partSaid(r.parameters.filter)}`}{r.behind > 0 && `; ${count(r.behind, 'change')} since`}</span></p>
      {kind === 'balance' ? <Classes r={r} /> : (
        <div class="toolbar">
          {r.total > 0 && <Button icon="check" onClick={() => setAsking('all')}>{bulk}</Button>}
          {r.total > 0 && (kind === 'duplicates' || kind === 'outliers') && (
            <Button icon="trash" kind="quiet" onClick={() => setAsking('delete')}>Delete all</Button>
          )}
          <Button icon="registry" onClick={() => setAsking('dataset')}>Make dataset version</Button>
          {groups.length > 0 && !writes && <span class="dim small">Arrows move, <kbd>a</kbd> accepts, <kbd>k</kbd> keeps as it is</span>}
        </div>
      )}
      {said && <p role="status">{said}</p>}
      {error && <Failure error={error} />}
      <ol class="cases" ref={list} onKeyDown={key}>
        {groups.map((g, n) => (
          <Case key={keyOf(kind, g[0]!)} kind={kind} group={g} focused={n === at} decided={decided.get(keyOf(kind, g[0]!))}
            onFocus={() => setAt(n)} onDecide={(how) => void decide(n, how)}
            write={writes
              ? { k, field: String(r.parameters.label), known: r.labels.map(String), onDone: () => {
                setDecided((d) => new Map(d).set(keyOf(kind, g[0]!), 'accepted'))
                list.current?.querySelectorAll<HTMLElement>('.case')[n + 1]?.querySelector('input')?.focus()
              } } : undefined} />
        ))}
      </ol>
      {r.total > PAGE && kind !== 'balance' && (
        <p class="toolbar">
          <Button disabled={!from} onClick={() => turn(Math.max(0, from - PAGE))}>Previous</Button>
          <span class="dim small">{from + 1} to {Math.min(from + PAGE, r.total)} of {r.total.toLocaleString('en')}</span>
          <Button disabled={from + PAGE >= r.total} onClick={() => turn(from + PAGE)}>Next</Button>
        </p>
      )}
      {asking === 'all' && (
        <Confirm title={`${bulk}?`} action={word} onYes={() => all(action)} onClose={() => setAsking(null)}>
          <p>{summed(kind, r)}. The payloads of all of them are changed.</p>
        </Confirm>
      )}
      {asking === 'delete' && (
        <Confirm title="Delete all?" action="Delete" onYes={() => all('delete')} onClose={() => setAsking(null)}>
          <p>{summed(kind, r)}. {kind === 'duplicates' ? 'Those that stay are not touched.' : 'All of them are deleted.'}</p>
        </Confirm>
      )}
      {asking === 'dataset' && <ToDataset k={k} kind={kind} r={r} onClose={() => setAsking(null)} />}
    </section>
  )
}

const keyOf = (kind: Kind, c: CurationCase) => (kind === 'duplicates' ? `group ${c.group}` : `${typeof c.id} ${c.id}`)

/** Duplicates by group, the others one by one. */
function grouped(kind: Kind, cases: CurationCase[]): CurationCase[][] {
  if (kind !== 'duplicates') return cases.map((c) => [c])
  const by = new Map<number, CurationCase[]>()
  for (const c of cases) by.set(c.group!, [...(by.get(c.group!) ?? []), c])
  return [...by.values()]
}

interface Write { k: Collection; field: string; known: string[]; onDone: () => void }

function Case({ kind, group, focused, decided, onFocus, onDecide, write }: { kind: Kind; group: CurationCase[]; focused: boolean
  decided?: Decision; onFocus: () => void; onDecide: (how: Decision) => void; write?: Write }) {
  const c = group[0]!
  return (
    <li class={`case${decided ? ' done' : ''}`} tabIndex={focused ? 0 : -1} onFocus={onFocus} aria-label={`Case ${c.rank}`}>
      <div class="case-items">
        {group.map((i) => (
          <Item key={i.id} id={i.id} payload={i.payload} stays={i.kept}
            note={kind === 'duplicates' ? (i.kept ? 'stays' : i.score.toFixed(4)) : kind === 'mislabelled' ? undefined : i.score.toPrecision(3)} />
        ))}
        {c.other && c.of !== null && <Item id={c.of} payload={c.other} note={kind === 'mislabelled' ? `has ${String(c.offered)}` : 'nearest'} />}
        {(c.given !== null || c.offered !== null) && kind !== 'duplicates' && kind !== 'outliers' && (
          <p class="case-labels">
            {c.given !== null && <s title={`confidence ${c.score.toFixed(3)}`}>{String(c.given)}</s>}
            {c.offered !== null && <strong title={`confidence ${c.more.toFixed(3)}`}>{String(c.offered)}</strong>}
          </p>
        )}
      </div>
      <div class="case-acts">
        {decided ? <Badge>{decided}</Badge> : (
          <>
            {write ? <WriteLabel id={c.id} {...write} /> : <Button icon="check" onClick={() => onDecide('accepted')}>{ACCEPT[kind][1]}</Button>}
            {kind !== 'sample' && <Button kind="quiet" onClick={() => onDecide('kept')}>Keep</Button>}
          </>
        )}
      </div>
    </li>
  )
}

function Item({ id, payload, stays, note }: { id: Id; payload: Record<string, unknown>; stays?: boolean; note?: string }) {
  const { text, ...rest } = payload
  return (
    <div class={`case-item${stays ? ' stays' : ''}`}>
      <code class="small">{String(id)}</code> {note && <span class="dim small">{note}</span>}
      {typeof text === 'string' && <p>{text}</p>}
      {Object.keys(rest).length > 0 && <code class="small dim payload">{JSON.stringify(rest).slice(0, 300)}</code>}
    </div>
  )
}

function WriteLabel({ k, id, field, known, onDone }: Write & { id: Id }) {
  const [text, setText] = useState(''), [error, setError] = useState<Error | null>(null)
  const send = (e: Event) => {
    e.preventDefault()
    if (!text.trim()) return
    void call('POST /collections/{collection}/points/payload',
      { params: { collection: k.name }, body: { payload: { [field]: text.trim() }, points: [id] } }).then(onDone, setError)
  }
  return (
    <form class="case-write" onSubmit={send}>
      <input list={`labels-${id}`} value={text} aria-label={`${field} of ${id}`} placeholder={field} onInput={(e) => setText(e.currentTarget.value)} />
      <datalist id={`labels-${id}`}>{known.map((l) => <option key={l} value={l} />)}</datalist>
      <Button icon="check" label="Write" type="submit" />
      {error && <Failure error={error} />}
    </form>
  )
}

function Classes({ r }: { r: Curation }) {
  const classes = (r.summary.classes ?? []) as { label: unknown; items: number; share: number; own: number; width: number }[]
  return (
    <div class="table-frame">
      <table class="rows">
        <thead><tr><th>Class</th><th class="n">Items</th><th class="n">Share</th><th class="n" title="How much of its neighbours' votes are its own">Among its own</th><th class="n" title="Mean distance to its middle">Width</th></tr></thead>
        <tbody>
          {classes.map((c) => (
            <tr key={String(c.label)}>
              <td data-name="Class">{String(c.label)}</td><td data-name="Items" class="n">{c.items.toLocaleString('en')}</td>
              <td data-name="Share" class="n">{percent(c.share)}</td><td data-name="Among its own" class="n">{percent(c.own)}</td>
              <td data-name="Width" class="n">{c.width.toFixed(3)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

// ---- a dataset

function ToDataset({ k, kind, r, onClose }: { k: Collection; kind: Kind; r: Curation; onClose: () => void }) {
  const [name, setName] = useState(k.name), [items, setItems] = useState<'rest' | 'found' | 'all'>(
    kind === 'sample' ? 'found' : kind === 'propagate' || kind === 'mislabelled' ? 'all' : 'rest')
  const [vectors, setVectors] = useState(false), [error, setError] = useState<Error | null>(null), [busy, setBusy] = useState(false)
  const [made, setMade] = useState<{ name: string; version: number; rows: number } | null>(null)
  const label = typeof r.parameters.label === 'string' ? r.parameters.label : ''
  const send = async () => {
    setBusy(true)
    try {
      const job = await finished(k.name, await call(`POST ${CURATE}/dataset`, { params: { name: k.name, kind },
        body: { dataset: name.trim(), items, vectors,
          ...((kind === 'propagate' || kind === 'mislabelled') && items !== 'rest' && label && { field: label }) } }))
      setMade(job.dataset)
    } catch (e) {
      setError(e as Error)
    }
    setBusy(false)
  }
  return (
    <Dialog title="Make dataset version" onClose={onClose} actions={made ? <Button kind="main" onClick={onClose}>Close</Button> : (
      <Button kind="main" icon="check" disabled={busy || !name.trim()} onClick={() => void send()}>Make</Button>)}>
      {made ? <p role="status">dataset/{made.name}:{made.version} with {count(made.rows, 'row')}.</p> : (
        <>
          <Field label="Dataset"><input value={name} onInput={(e) => setName(e.currentTarget.value)} /></Field>
          <Field label="Items">
            <select value={items} onChange={(e) => setItems(e.currentTarget.value as typeof items)}>
              <option value="rest">all but what was found</option>
              <option value="found">what was found</option>
              <option value="all">all, with what was found{label && kind !== 'outliers' ? ` in ${label}` : ''}</option>
            </select>
          </Field>
          <label class="small"><input type="checkbox" checked={vectors} onChange={(e) => setVectors(e.currentTarget.checked)} /> with vectors</label>
        </>
      )}
      {error && <Failure error={error} />}
    </Dialog>
  )
}
