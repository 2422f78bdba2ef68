import { useEffect, useState } from 'preact/hooks'
import { call } from '../api'
import { count, duration, fullTime, when } from '../format'
import { usePages } from '../list'
import { href, navigate, usePlace, withQuery } from '../router'
import { Badge, Button, Choice, Confirm, Empty, Facts, Failure, PageHead, useLoad } from '../ui'
import { Spaces } from './collections'
import type { Collection, CollectionItem, HitShare } from '../types'

/** Its code is fetched when it is first shown. */
function MapView({ k }: { k: Collection }) {
  const { data, error, reload } = useLoad(() => import('./collection_map'), [])
  return error ? <Failure error={error} retry={reload} /> : data ? <data.MapTab k={k} /> : null
}

function CurateView({ k }: { k: Collection }) {
  const { data, error, reload } = useLoad(() => import('./collection_curate'), [])
  return error ? <Failure error={error} retry={reload} /> : data ? <data.CurateTab k={k} /> : null
}

function VersionsView({ k, changed }: { k: Collection; changed: () => void }) {
  const { data, error, reload } = useLoad(() => import('./collection_versions'), [])
  return error ? <Failure error={error} retry={reload} /> : data ? <data.VersionsTab k={k} changed={changed} /> : null
}

function MigrateView({ k, changed }: { k: Collection; changed: () => void }) {
  const { data, error, reload } = useLoad(() => import('./collection_migrate'), [])
  return error ? <Failure error={error} retry={reload} /> : data ? <data.MigrateTab k={k} changed={changed} /> : null
}

function RecallView({ k }: { k: Collection }) {
  const { data, error, reload } = useLoad(() => import('./collection_recall'), [])
  return error ? <Failure error={error} retry={reload} /> : data ? <data.RecallTab k={k} /> : null
}

const VIEWS = [['items', 'Items'], ['map', 'Map'], ['curate', 'Curate'], ['versions', 'Versions'], ['model', 'Model'], ['recall', 'Recall']] as const

export function CollectionPage({ name }: { name: string }) {
  const { query: place } = usePlace()
  const q = place.get('q') ?? '', like = place.get('like'), space = place.get('space') ?? '', asOf = place.get('as_of')
  const shown = place.get('view'), view = VIEWS.find(([v]) => v === shown)?.[0] ?? 'items'
  const [deleting, setDeleting] = useState(false)
  const { data: k, error, reload } = useLoad(
    (signal) => call('GET /api/v1/collections/{name}', { params: { name }, signal }), [name])
  if (error) return <Failure error={error} retry={reload} />
  if (!k) return null
  return (
    <>
      <PageHead title={k.name} sub={count(k.items, 'item')}>
        <Button icon="trash" kind="quiet" onClick={() => setDeleting(true)}>Delete</Button>
      </PageHead>
      <Facts rows={[['Vectors', <Spaces spaces={k.spaces} />],
        ['Changed', <span title={fullTime(k.updated)}>{when(k.updated)}, change {k.seq}</span>],
        ...(k.aliases.length ? [['Aliases', k.aliases.join(', ')] as [string, preact.ComponentChildren]] : []),
        ...(k.keyword ? [['Words', <>of {Object.keys(k.keyword.fields).join(', ')}{k.keyword.language && `, stems: ${k.keyword.language}`}</>] as [string, preact.ComponentChildren]] : []),
        ...k.spaces.filter((s) => s.identity).map((s): [string, preact.ComponentChildren] =>
          [`Space ${s.name}`, <code title="What its vectors can be compared with">{s.identity!.slice(0, 16)}</code>])]} />
      <Choice label="Show" value={view} options={VIEWS}
        onChange={(v) => navigate(withQuery({ view: v === 'items' ? null : v, q: null, like: null, kind: null, from: null, to: null, as_of: null }))} />
      {view === 'map' ? <MapView k={k} /> : view === 'curate' ? <CurateView k={k} />
        : view === 'versions' ? <VersionsView k={k} changed={reload} />
        : view === 'model' ? <MigrateView k={k} changed={reload} /> : view === 'recall' ? <RecallView k={k} /> : (
        <>
          <SearchBox k={k} q={q} space={space} mode={modeOf(k, space, place.get('mode'))} />
          {asOf && (
            <div class="toolbar">
              <Badge kind="warn">As of version {asOf}</Badge><span class="dim small">What is here now may be another thing.</span>
              <Button icon="close" kind="quiet" onClick={() => navigate(withQuery({ as_of: null }))}>Now</Button>
            </div>
          )}
          {q || like ? <Hits k={k} q={q} like={like} space={space} asOf={asOf} mode={modeOf(k, space, place.get('mode'))} /> : <Items k={k} asOf={asOf} />}
        </>
      )}
      {deleting && (
        <Confirm title={`Delete ${k.name}?`} action="Delete" onClose={() => setDeleting(false)}
          onYes={async () => {
            await call('DELETE /api/v1/collections/{name}', { params: { name } })
            navigate(href('collections'))
          }}>
          <p>Its {count(k.items, 'item')} will be gone. What was made a version of it stays, and can be copied back.</p>
        </Confirm>
      )}
    </>
  )
}

type Mode = 'vector' | 'keyword' | 'hybrid'
const MODES: readonly (readonly [Mode, string])[] = [['vector', 'Meaning'], ['keyword', 'Words'], ['hybrid', 'Both']]

const spaceOf = (k: Collection, space: string) => k.spaces.find((s) => s.name === space) ?? k.spaces[0]!

/** How a text can be looked for: by vectors where a model makes them, by words where there is an index of them. */
const modesOf = (k: Collection, space: string) => MODES.filter(([m]) =>
  (m === 'keyword' || spaceOf(k, space).model) && (m === 'vector' || k.keyword))
const modeOf = (k: Collection, space: string, wanted: string | null): Mode => {
  const modes = modesOf(k, space)
  return (modes.find(([m]) => m === wanted) ?? modes[0] ?? MODES[0]!)[0]
}

function SearchBox({ k, q, space, mode }: { k: Collection; q: string; space: string; mode: Mode }) {
  const [text, setText] = useState(q)
  useEffect(() => setText(q), [q])
  const chosen = spaceOf(k, space), modes = modesOf(k, space)
  return (
    <>
      {k.spaces.length > 1 && (
        <div class="toolbar">
          <select aria-label="Vectors" value={chosen.name}
            onChange={(e) => navigate(withQuery({ space: e.currentTarget.value || null }), { replace: true })}>
            {k.spaces.map((s) => <option key={s.name} value={s.name}>{s.name}</option>)}
          </select>
        </div>
      )}
      {modes.length > 1 && (
        <div class="toolbar">
          <Choice label="Look for" value={mode} options={modes} onChange={(m) => navigate(withQuery({ mode: m, like: null }), { replace: true })} />
        </div>
      )}
      {modes.length
        ? (
          <form class="search-box" role="search" onSubmit={(e) => {
            e.preventDefault()
            if (text.trim()) navigate(withQuery({ q: text.trim(), like: null }))
          }}>
            <input type="search" value={text} aria-label="Search the items" placeholder="Words or a question"
              onInput={(e) => setText(e.currentTarget.value)} />
            <Button icon="search" kind="main" type="submit">Search</Button>
          </form>
        )
        : <p class="dim small">Its vectors were brought along: look for what is near to an item.</p>}
    </>
  )
}

type AsOf = { asOf: string | null }

function Hits({ k, q, like, space, mode, asOf }: { k: Collection; q: string; like: string | null; space: string; mode: Mode } & AsOf) {
  const { data, error, reload } = useLoad((signal) => call('POST /api/v1/collections/{name}/search', {
    params: { name: k.name }, signal,
    body: { k: 20, space: space || k.spaces[0]!.name, ...(asOf && { as_of: asOf }), ...(like ? { id: idOf(like) } : { text: q, mode }) } }),
  [k.name, q, like, space, mode, asOf])
  return (
    <>
      <div class="toolbar">
        <span class="dim small" role="status">
          {like ? <>Near to <code>{like}</code></> : mode === 'vector' ? <>Near to “{q}”</> : mode === 'keyword' ? <>With words of “{q}”</> : <>Near to “{q}”, or with its words</>}
          {data && <>: {count(data.hits.length, 'item')} in {duration(data.took_ms)}</>}
          {data && mode !== 'keyword' && <>, {data.exact ? `${data.compared.toLocaleString('en')} compared, exact` : 'by the graph'}</>}
        </span>
        <Button icon="close" kind="quiet" onClick={() => navigate(withQuery({ q: null, like: null }))}>All items</Button>
      </div>
      {error && <Failure error={error} retry={reload} />}
      {data && !data.hits.length && <Empty title="Nothing found" />}
      {data && data.hits.length > 0 && <Table items={data.hits} scores={data.hits.map((h) => h.score)}
        sources={!like && mode === 'hybrid' ? data.hits.map((h) => h.sources) : undefined} />}
    </>
  )
}

function Items({ k, asOf }: { k: Collection } & AsOf) {
  const list = usePages(async (from, signal) => {
    const r = await call('GET /api/v1/collections/{name}/items',
      { params: { name: k.name }, query: { limit: 50, from, ...(asOf && { as_of: asOf }) }, signal })
    return { items: r.items.map((i) => ({ ...i, id: String(i.id) })), next: r.next === null ? null : String(r.next) }
  }, [k.name, asOf])
  return (
    <>
      {list.error && <Failure error={list.error} retry={list.refresh} />}
      {list.items && !list.items.length && (
        <Empty title="No item yet"><p><code>croft collections import {k.name} FILE</code></p></Empty>
      )}
      {list.items && list.items.length > 0 && <Table items={list.items} />}
      {list.more && <p class="more"><Button onClick={list.more}>Show more</Button></p>}
    </>
  )
}

type Sources = { vector: HitShare | null; keyword: HitShare | null } | undefined

/** What a search added to a hit's score, and at which rank it had it. */
const Share = ({ share }: { share: HitShare | null | undefined }) => share
  ? <span title={`Score ${share.score.toPrecision(4)}`}>{share.share.toPrecision(3)} <span class="dim small">#{share.rank}</span></span>
  : <span class="dim">–</span>

function Table({ items, scores, sources }: { items: Pick<CollectionItem, 'id' | 'payload'>[]; scores?: number[]; sources?: Sources[] }) {
  return (
    <div class="table-frame">
      <table class="rows items-table">
        <thead><tr>{scores && <th class="n">Score</th>}
          {sources && <><th class="n">Meaning</th><th class="n">Words</th></>}<th>Id</th><th>Payload</th><th><span class="sr">Actions</span></th></tr></thead>
        <tbody>
          {items.map((i, n) => (
            <tr key={i.id}>
              {scores && <td data-name="Score" class="n">{scores[n]!.toPrecision(4)}</td>}
              {sources && <><td data-name="Meaning" class="n"><Share share={sources[n]?.vector} /></td>
                <td data-name="Words" class="n"><Share share={sources[n]?.keyword} /></td></>}
              <td data-name="Id"><code>{String(i.id)}</code></td>
              <td data-name="Payload"><Payload payload={i.payload as Record<string, unknown>} /></td>
              <td class="act">
                <Button icon="search" kind="quiet" label={`What is near to ${i.id}`}
                  onClick={() => navigate(withQuery({ like: String(i.id), q: null }))} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** The text, then what else there is. */
function Payload({ payload }: { payload: Record<string, unknown> }) {
  const { text, ...rest } = payload
  return (
    <>
      {typeof text === 'string' && <p class="clip">{text}</p>}
      {Object.keys(rest).length > 0 && <code class="small dim payload">{JSON.stringify(rest)}</code>}
    </>
  )
}

/** As the API has it: a number when it is one. */
const idOf = (text: string): string | number => /^(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : text
