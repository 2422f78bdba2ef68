import { useState } from 'preact/hooks'
import { call } from '../api'
import { fullTime, when } from '../format'
import { href } from '../router'
import { Button, Confirm, Failure, useLoad } from '../ui'
import type { Routes } from '../types'

type Alias = Routes['GET /api/v1/collection-aliases']['reply']['aliases'][number]

/** Other names of collections: what each stands for, moved by choosing another one. */
export function Aliases({ collections, changed }: { collections: string[]; changed: () => void }) {
  const { data, error, reload } = useLoad((signal) => call('GET /api/v1/collection-aliases', { signal }), [])
  const [failed, setFailed] = useState<Error | null>(null)
  const [moving, setMoving] = useState<{ alias: string; to: string | null } | null>(null)
  const done = () => { setFailed(null); reload(); changed() }
  const put = (alias: string, collection: string) =>
    call('PUT /api/v1/collection-aliases/{alias}', { params: { alias }, body: { collection } }).then(done)
  if (error) return <Failure error={error} retry={reload} />
  if (!data) return null
  return (
    <section class="aliases" aria-label="Aliases">
      <h2>Aliases</h2>
      <p class="dim">Other names. Who asks for one gets the collection that it stands for; it moves to another at one moment.</p>
      {data.aliases.length > 0 && (
        <div class="table-frame">
          <table class="rows">
            <thead><tr><th>Alias</th><th>Stands for</th><th>Since</th><th /></tr></thead>
            <tbody>{data.aliases.map((x) => (
              <Row key={x.name} x={x} collections={collections} move={(to) => setMoving({ alias: x.name, to })} />))}</tbody>
          </table>
        </div>
      )}
      <Add collections={collections} put={(alias, k) => put(alias, k).catch(setFailed)} />
      {failed && <Failure error={failed} />}
      {moving && (
        <Confirm title={moving.to ? `Move ${moving.alias} to ${moving.to}?` : `Delete the alias ${moving.alias}?`}
          action={moving.to ? 'Move' : 'Delete'} onClose={() => setMoving(null)}
          onYes={async () => {
            if (moving.to) await put(moving.alias, moving.to)
            else await call('DELETE /api/v1/collection-aliases/{alias}', { params: { alias: moving.alias } }).then(done)
            setMoving(null)
          }}>
          <p>{moving.to ? `From then on whoever asks for ${moving.alias} gets ${moving.to}. It can be moved back as quickly.`
            : 'Who asks for it will find nothing. The collection stays.'}</p>
        </Confirm>
      )}
    </section>
  )
}

function Row({ x, collections, move }: { x: Alias; collections: string[]; move: (to: string | null) => void }) {
  return (
    <tr>
      <td class="main-cell"><a href={href('collection', { name: x.name })}>{x.name}</a></td>
      <td data-name="Stands for">
        <select aria-label={`What ${x.name} stands for`} value={x.collection}
          onChange={(e) => { const to = e.currentTarget.value; e.currentTarget.value = x.collection; move(to) }}>
          {collections.map((k) => <option key={k}>{k}</option>)}
        </select>
      </td>
      <td data-name="Since" title={fullTime(x.moved)}>{when(x.moved)}</td>
      <td class="n"><Button icon="trash" kind="quiet" label={`Delete the alias ${x.name}`} onClick={() => move(null)} /></td>
    </tr>
  )
}

function Add({ collections, put }: { collections: string[]; put: (alias: string, collection: string) => Promise<unknown> }) {
  const [alias, setAlias] = useState(''), [to, setTo] = useState(collections[0] ?? '')
  return (
    <form class="move-form" onSubmit={(e) => { e.preventDefault(); void put(alias.trim(), to).then(() => setAlias('')) }}>
      <label>Alias<input value={alias} required onInput={(e) => setAlias(e.currentTarget.value)} /></label>
      <label>Stands for<select value={to} onChange={(e) => setTo(e.currentTarget.value)}>
        {collections.map((k) => <option key={k}>{k}</option>)}</select></label>
      <Button type="submit" disabled={!alias.trim()}>Add alias</Button>
    </form>
  )
}
