import { call } from '../api'
import { count, fullTime, when } from '../format'
import { href } from '../router'
import { Badge, Empty, Failure, PageHead, useEvery, useLoad } from '../ui'
import { Aliases } from './collection_aliases'
import type { Collection } from '../types'

export function CollectionsPage() {
  const { data, error, reload } = useLoad((signal) => call('GET /api/v1/collections', { signal }), [])
  useEvery(5000, reload)
  const list = data?.collections
  return (
    <>
      <PageHead title="Collections" sub={list && list.length > 0
        ? count(list.reduce((n, k) => n + k.items, 0), 'item') + ' with vectors' : undefined} />
      {error && <Failure error={error} retry={reload} />}
      {list && !list.length && (
        <Empty title="No collection yet">
          <p>Make one whose texts a model embeds, and fill it:</p>
          <p><code>croft collections create faq --model all-minilm-l6-v2</code></p>
          <p><code>croft collections import faq questions.jsonl</code></p>
          <p>Or give Qdrant's client this server's address.</p>
        </Empty>
      )}
      {list && list.length > 0 && (
        <div class="table-frame">
          <table class="rows collections-table">
            <thead><tr><th>Collection</th><th class="n">Items</th><th>Vectors</th><th>Changed</th></tr></thead>
            <tbody>{list.map((k) => <Row key={k.name} k={k} />)}</tbody>
          </table>
        </div>
      )}
      {list && list.length > 0 && <Aliases collections={list.map((k) => k.name)} changed={reload} />}
    </>
  )
}

function Row({ k }: { k: Collection }) {
  return (
    <tr>
      <td class="main-cell"><a href={href('collection', { name: k.name })}>{k.name}</a>{k.aliases.map((x) => <span key={x}> <Badge>{x}</Badge></span>)}</td>
      <td data-name="Items" class="n">{k.items.toLocaleString('en')}</td>
      <td data-name="Vectors"><Spaces spaces={k.spaces} /></td>
      <td data-name="Changed" title={fullTime(k.updated)}>{when(k.updated)}</td>
    </tr>
  )
}

export function Spaces({ spaces }: { spaces: Collection['spaces'] }) {
  return (
    <>
      {spaces.map((s) => (
        <span key={s.name} class="space">
          {s.name && <b>{s.name} </b>}
          <Badge>{s.size}</Badge> <Badge>{s.distance}</Badge>
          {s.model && <> <Badge kind="model">{s.model}</Badge></>}
        </span>
      ))}
    </>
  )
}
