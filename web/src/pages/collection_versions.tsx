// Versions of a collection: what there is, what has changed since, what differs between two and how far it moved; make
// one, bring one back, branch from one, merge another collection.
import { useEffect, useState } from 'preact/hooks'
import { call } from '../api'
import { count, fullTime, when } from '../format'
import { href, navigate, usePlace, withQuery } from '../router'
import type { Collection, CollectionDiff, CollectionVersion } from '../types'
import { Badge, Button, Choice, Dialog, Empty, Failure, Field, Note, useLoad } from '../ui'

type Deed = { what: 'commit' } | { what: 'merge' } | { what: 'restore' | 'branch'; version: number }
const ONE = '/api/v1/collections/{name}' as const
const PAGE = 50

export function VersionsTab({ k, changed }: { k: Collection; changed: () => void }) {
  const { query } = usePlace()
  const [deed, setDeed] = useState<Deed | null>(null), [limit, setLimit] = useState(PAGE)
  const params = { name: k.name }
  const { data, error, reload } = useLoad(
    (signal) => call(`GET ${ONE}/versions`, { params, query: { limit }, signal }), [k.name, k.seq, limit])
  if (error) return <Failure error={error} retry={reload} />
  if (!data) return null
  const done = () => { setDeed(null); reload(); changed() }
  const from = query.get('from'), to = query.get('to')
  const s = data.state
  return (
    <div class="versions-tab">
      <div class="toolbar">
        <span class="small" role="status">
          {s && (!s.head ? 'No version has been made yet.' : s.changed ? <>The items have changed since <code>{s.head}</code>.</>
            : <>The items are those of <code>{s.head}</code>.</>)}
          {s?.origin && <> They began as a copy of <code>{s.origin}</code>{s.lazy && ' and still are it: no rows of their own yet'}.</>}
          {s?.lazy && !s.origin && ' Its rows are being written; until then it is read from that version, and cannot be changed.'}
        </span>
        {s?.changed && s.head && <Button icon="search" kind="quiet" onClick={() => navigate(withQuery({ from: s.head, to: 'now' }))}>What has changed</Button>}
        <Button kind="main" icon="flag" onClick={() => setDeed({ what: 'commit' })}>Make a version</Button>
        <Button onClick={() => setDeed({ what: 'merge' })}>Merge…</Button>
      </div>
      {from && to && <Difference key={`${from} ${to}`} k={k} from={from} to={to} versions={data.versions} />}
      {data.versions.length > 0
        ? <Table versions={data.versions} act={setDeed} />
        : <Empty title="No version yet"><p>A version keeps all items as they are now; later ones cost what differs.</p></Empty>}
      {data.next !== null && <p class="more"><Button onClick={() => setLimit(limit + PAGE)}>Show more</Button></p>}
      {deed?.what === 'commit' && <Commit k={k} close={() => setDeed(null)} done={done} />}
      {deed?.what === 'merge' && <Merge k={k} close={() => setDeed(null)} done={done} />}
      {deed?.what === 'branch' && <Branch k={k} version={deed.version} close={() => setDeed(null)} />}
      {deed?.what === 'restore' && (
        <Form title={`Restore version ${deed.version}`} action="Restore" close={() => setDeed(null)}
          send={async () => { await call(`POST ${ONE}/restore`, { params, body: { version: deed.version } }); done() }}>
          <p>The items become those of version {deed.version}, in one step; where many differ, their rows follow afterwards. {s?.changed
            ? 'What has changed since the last version is kept as one before.' : 'The last version keeps what is there now.'}</p>
        </Form>
      )}
    </div>
  )
}

const plusMinus = (v: { added: number; removed: number; changed: number }) => `+${v.added} −${v.removed} ~${v.changed}`

function Table({ versions, act }: { versions: CollectionVersion[]; act: (d: Deed) => void }) {
  return (
    <div class="table-frame">
      <table class="rows versions-table">
        <thead><tr><th class="n">Version</th><th>What</th><th class="n">Items</th><th>Change</th><th>Made</th>
          <th><span class="sr">Actions</span></th></tr></thead>
        <tbody>
          {versions.map((v) => (
            <tr key={v.version}>
              <td data-name="Version" class="n">{v.version}</td>
              <td data-name="What">
                {v.tags.map((t) => <Badge key={t} kind="good">{t}</Badge>)} {v.message}
                {v.from && <span class="dim small"> {v.made_by} of <code>{v.from}</code></span>}
              </td>
              <td data-name="Items" class="n">{v.items.toLocaleString('en')}</td>
              <td data-name="Change"><span class="small" title="Added, removed, changed">{plusMinus(v)}</span></td>
              <td data-name="Made"><span class="small" title={`${fullTime(v.created)}, ${v.digest.slice(0, 12)}`}>{when(v.created)} by {v.by}</span></td>
              <td class="act">
                <Button kind="quiet" label={`Compare version ${v.version} with ${v.parents[0] ?? 'now'}`}
                  onClick={() => navigate(withQuery(v.parents[0] ? { from: v.parents[0], to: String(v.version) } : { from: String(v.version), to: 'now' }))}>Compare</Button>
                <Button kind="quiet" label={`Search in version ${v.version}`}
                  onClick={() => navigate(withQuery({ view: null, as_of: String(v.version), from: null, to: null }))}>Search</Button>
                <Button kind="quiet" label={`Restore version ${v.version}`} onClick={() => act({ what: 'restore', version: v.version })}>Restore</Button>
                <Button kind="quiet" label={`Branch from version ${v.version}`} onClick={() => act({ what: 'branch', version: v.version })}>Branch</Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

// ---- what differs

const CHANGES = [['', 'All'], ['added', 'Added'], ['removed', 'Removed'], ['moved', 'Moved'], ['changed', 'Changed']] as const

function Difference({ k, from, to, versions }: { k: Collection; from: string; to: string; versions: CollectionVersion[] }) {
  const [change, setChange] = useState(''), [far, setFar] = useState(false)
  const [rest, setRest] = useState<CollectionDiff | null>(null), [failed, setFailed] = useState<Error | null>(null)
  const ask = (more: { after?: string; skip?: number }, signal?: AbortSignal) => call(`GET ${ONE}/diff`, { params: { name: k.name },
    query: { from, to, limit: 20, payloads: true, ...(change && { change }), ...(far && { sort: 'distance' as const }), ...more }, signal })
  const { data: d, error, reload } = useLoad((signal) => ask({}, signal), [k.name, k.seq, from, to, change, far])
  useEffect(() => setRest(null), [d])
  const last = rest ?? d, items = d ? [...d.items, ...(rest?.items ?? [])] : []
  const more = () => ask(far ? { skip: Number(last!.next) } : { after: String(last!.next) })
    .then((page) => setRest({ ...page, items: [...(rest?.items ?? []), ...page.items] }), setFailed)
  const end = (name: 'from' | 'to', value: string) => (
    <select aria-label={name} value={value} onChange={(e) => navigate(withQuery({ [name]: e.currentTarget.value }))}>
      {[...new Set([value, 'now', ...versions.map((v) => String(v.version))])].map((v) =>
        <option key={v} value={v}>{v === 'now' ? 'now' : `version ${v}`}</option>)}
    </select>
  )
  const s = d?.summary
  return (
    <section class="version-diff" aria-label="Difference">
      <div class="toolbar">
        <span class="small">From</span>{end('from', from)}<span class="small">to</span>{end('to', to)}
        <Button icon="close" kind="quiet" onClick={() => navigate(withQuery({ from: null, to: null }))}>Close</Button>
      </div>
      {error && <Failure error={error} retry={reload} />}
      {failed && <Failure error={failed} />}
      {s && (
        <>
          <p role="status"><b>{s.added}</b> added, <b>{s.removed}</b> removed, <b>{s.moved}</b> moved
            {s.moved_and_changed > 0 && ` (${s.moved_and_changed} with another payload)`}, <b>{s.changed}</b> changed, {s.same} the same</p>
          {s.distance.measured > 0 && <Histogram d={s.distance} />}
        </>
      )}
      {d && (
        <div class="toolbar">
          <Choice label="Which" value={change} options={CHANGES.map(([v, t]) => [v, t] as [string, string])} onChange={setChange} />
          <label class="check"><input type="checkbox" checked={far} onChange={(e) => setFar(e.currentTarget.checked)} /> Farthest first</label>
        </div>
      )}
      {items.length > 0 && (
        <div class="table-frame">
          <table class="rows diff-table">
            <thead><tr><th>Id</th><th>Change</th><th class="n">Moved by</th><th>Payload</th></tr></thead>
            <tbody>
              {items.map((i) => (
                <tr key={String(i.id)}>
                  <td data-name="Id"><code>{String(i.id)}</code></td>
                  <td data-name="Change"><Badge kind={i.change === 'added' ? 'good' : i.change === 'removed' ? 'bad' : undefined}>{i.change}</Badge></td>
                  <td data-name="Moved by" class="n">{i.distance === null ? '' : i.distance.toFixed(4)}</td>
                  <td data-name="Payload"><Payloads before={i.before} after={i.after} same={!i.payload} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {last && last.next !== null && <p class="more"><Button onClick={() => void more()}>Show more</Button></p>}
    </section>
  )
}

/** How many moved how far: a bar for each stretch of cosine distance. */
function Histogram({ d }: { d: NonNullable<CollectionDiff['summary']>['distance'] }) {
  const most = Math.max(1, ...d.items)
  return (
    <figure class="moved">
      <figcaption class="small dim">{count(d.measured, 'item')} moved; cosine distance: mean {d.mean.toFixed(4)}, median {d.median.toFixed(4)},
        95 % below {d.p95.toFixed(4)}, most {d.max.toFixed(4)}</figcaption>
      <ol class="moved-bars">
        {d.items.map((n, i) => (
          <li key={i} title={`${n} moved by ${d.edges[i]} to ${d.edges[i + 1]}`}>
            <span class="moved-bar" style={{ height: `${Math.ceil((n / most) * 60)}px` }} />
            <span class="moved-n">{n || ''}</span>
            <span class="moved-edge dim">{d.edges[i]}</span>
          </li>
        ))}
      </ol>
    </figure>
  )
}

function Payloads({ before, after, same }: { before?: object | null; after?: object | null; same: boolean }) {
  const text = (p: object) => JSON.stringify(p)
  if (before && after && same) return <span class="small payload-line">{text(after)}</span>
  return (
    <>
      {before && <del class="small payload-line">{text(before)}</del>}
      {after && <ins class="small payload-line">{text(after)}</ins>}
    </>
  )
}

// ---- what is done

function Form({ title, action, close, send, children }: { title: string; action: string; close: () => void
  send: () => Promise<unknown>; children: preact.ComponentChildren }) {
  const [error, setError] = useState<Error | null>(null), [busy, setBusy] = useState(false)
  const go = async (e: Event) => {
    e.preventDefault()
    setBusy(true)
    await send().catch((failure: Error) => { setError(failure); setBusy(false) })
  }
  return (
    <Dialog title={title} onClose={close}>
      <form onSubmit={(e) => void go(e)}>
        {children}
        {error && <Failure error={error} />}
        <div class="actions">
          <Button type="button" onClick={close}>Cancel</Button>
          <Button kind="main" type="submit" disabled={busy}>{action}</Button>
        </div>
      </form>
    </Dialog>
  )
}

function Commit({ k, close, done }: { k: Collection; close: () => void; done: () => void }) {
  const [message, setMessage] = useState(''), [tag, setTag] = useState('')
  const [same, setSame] = useState<number | null>(null)
  const send = async () => {
    const v = await call(`POST ${ONE}/versions`, { params: { name: k.name }, body: { ...(message && { message }), ...(tag && { tag }) } })
    if (v.made || tag) done()
    else setSame(v.version)
  }
  return (
    <Form title="Make a version" action="Make it" close={close} send={send}>
      <Field label="What it is"><input data-first value={message} onInput={(e) => setMessage(e.currentTarget.value)} /></Field>
      <Field label="Tag (a name that points at it)"><input value={tag} onInput={(e) => setTag(e.currentTarget.value)} /></Field>
      {same !== null && <Note>Nothing has changed since version {same}.</Note>}
    </Form>
  )
}

function Branch({ k, version, close }: { k: Collection; version: number; close: () => void }) {
  const [to, setTo] = useState(`${k.name}-branch`)
  const send = async () => {
    await call(`POST ${ONE}/branch`, { params: { name: k.name }, body: { to, from: version } })
    navigate(href('collection', { name: to }))
  }
  return (
    <Form title={`Branch from version ${version}`} action="Branch" close={close} send={send}>
      <p class="small dim">A collection that begins with these items, costs nothing until it differs, and can be merged back.</p>
      <Field label="Its name"><input data-first required value={to} onInput={(e) => setTo(e.currentTarget.value)} /></Field>
    </Form>
  )
}

type Side = 'ours' | 'theirs'

/** What a side has there, or what it did. */
const shown = (value: unknown, did: string) => value === undefined || value === null ? did : JSON.stringify(value)

function Merge({ k, close, done }: { k: Collection; close: () => void; done: () => void }) {
  const { data: all } = useLoad((signal) => call('GET /api/v1/collections', { signal }), [])
  const others = (all?.collections ?? []).filter((c) => c.name !== k.name)
  const [chosen, setFrom] = useState(''), from = chosen || others[0]?.name || ''
  const [prefer, setPrefer] = useState<Side | ''>(''), [single, setSingle] = useState<Record<string, Record<string, Side>>>({})
  const { data: look, error } = useLoad(async (signal) => from
    ? call(`POST ${ONE}/merge`, { params: { name: k.name }, body: { from, dry_run: true, limit: 100 }, signal }) : null, [k.name, from])
  const send = async () => {
    const r = await call(`POST ${ONE}/merge`, { params: { name: k.name },
      body: { from, resolve: single, ...(prefer && { prefer }) } })
    if (!r.merged && !r.nothing) throw new Error(`${count(r.conflicts.count, 'conflict')} not decided: nothing was merged`)
    done()
  }
  const c = look?.conflicts
  return (
    <Form title={`Merge into ${k.name}`} action="Merge" close={close} send={send}>
      <Field label="What is merged">
        <select value={from} onChange={(e) => { setFrom(e.currentTarget.value); setSingle({}) }}>
          {others.map((o) => <option key={o.name} value={o.name}>{o.name}</option>)}
        </select>
      </Field>
      {error && <Failure error={error} />}
      {look && <p class="small" role="status">{look.nothing ? 'All of it is in here already.'
        : <>Since {look.base ? <code>{look.base}</code> : 'the beginning'}: {plusMinus(look)}, {count(c!.count, 'conflict')}</>}</p>}
      {c && c.count > 0 && (
        <>
          <Choice label="Where both have changed a field" value={prefer} onChange={setPrefer}
            options={[['', 'decide one by one'], ['ours', 'keep ours'], ['theirs', 'take theirs']]} />
          {!prefer && (
            <ul class="conflicts">
              {c.items.map((x) => {
                const id = String(x.id), side = (s: Side) => shown((x.values as Record<Side, unknown> | null)?.[s], x[s])
                return (
                  <li key={id + x.field}>
                    <code>{id}</code> <code>{x.field || 'the item'}</code>
                    <span class="small dim sides">here {side('ours')}, there {side('theirs')}</span>
                    <select aria-label={`Which ${x.field || 'item'} of ${id}`} value={single[id]?.[x.field] ?? ''} onChange={(e) =>
                      setSingle({ ...single, [id]: { ...single[id], [x.field]: e.currentTarget.value as Side } })}>
                      <option value="" disabled>choose</option><option value="ours">ours</option><option value="theirs">theirs</option>
                    </select>
                  </li>
                )
              })}
            </ul>
          )}
        </>
      )}
    </Form>
  )
}
