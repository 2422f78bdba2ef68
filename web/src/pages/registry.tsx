// Everything that has versions: datasets, models, prompts and so on, by kind.
import { call } from '../api'
import { Typed } from '../filters'
import { count, fullTime, when } from '../format'
import { usePages } from '../list'
import { href, navigate, usePlace, withQuery } from '../router'
import type { Artifact } from '../types'
import { Badge, Button, Empty, Failure, PageHead, useEvery, useLoad, useSettled } from '../ui'

export function RegistryPage() {
  const { query } = usePlace()
  const kind = query.get('kind') ?? ''
  const text = query.get('name') ?? ''
  const filter = query.get('filter') ?? ''
  const name = useSettled(text)
  const kinds = useLoad((signal) => call('GET /api/v1/artifacts/kinds', { signal }), [])
  const list = usePages(async (after, signal) => {
    const r = await call('GET /api/v1/artifacts', { query: { kind, name, filter, limit: 50, after }, signal })
    return { ...r, items: r.artifacts }
  }, [kind, name, filter])
  useEvery(5000, () => {
    list.refresh()
    kinds.reload()
  })
  const put = (what: string, value: string) => navigate(withQuery({ [what]: value }), { replace: true })
  const total = kinds.data?.kinds.reduce((n, k) => n + k.artifacts, 0) ?? null
  const chosen = kinds.data?.kinds.find((k) => k.name === kind)
  return (
    <>
      <PageHead title="Registry" sub="What has versions: each is fixed, addressed by its content, and has a history." />
      <div class="toolbar">
        <select value={kind} aria-label="Kind" onChange={(e) => put('kind', e.currentTarget.value)}>
          <option value="">All kinds{total === null ? '' : ` (${total})`}</option>
          {(kinds.data?.kinds ?? []).map((k) => (
            <option key={k.name} value={k.name}>{k.plural} ({k.artifacts})</option>
          ))}
          {kind && !chosen && <option value={kind}>{kind}</option>}
        </select>
        <input type="search" value={text} placeholder="Part of a name" aria-label="Part of a name"
          onInput={(e) => put('name', e.currentTarget.value)} />
        <Typed label="Filter" hint="tags.team = 'nlp' AND alias = 'prod'" value={filter} onChange={(v) => put('filter', v)} />
      </div>
      {list.error && <Failure error={list.error} retry={list.refresh} />}
      {list.items && !list.items.length && !list.error && (name || filter || (kind && total) ? (
        <Empty title={filter ? 'Nothing fits the filter' : 'Nothing of that name'}>
          <p>{filter ? 'No artifact has all that is asked for.' : name ? `No ${chosen?.plural ?? 'artifacts'} with “${name}” in the name.` : `There are no ${chosen?.plural ?? kind} yet.`}</p>
          <p><Button onClick={() => navigate(href('registry'), { replace: true })}>Show all</Button></p>
        </Empty>
      ) : (
        <Empty title="No artifacts yet">
          <p>A version is added by a command, by the API, or by MLflow's client:</p>
          <pre class="command"><code>croft artifact add dataset/faq --source s3://bucket/faq-1.jsonl</code></pre>
          <pre class="command"><code>croft artifact alias dataset/faq:1 prod --reason 'first release'</code></pre>
        </Empty>
      ))}
      {list.items && list.items.length > 0 && (
        <div class="table-frame">
          <table class="rows registry-table">
            <thead><tr><th>Name</th><th>Kind</th><th class="n">Versions</th><th>Aliases</th>
              <th>Updated</th></tr></thead>
            <tbody>{list.items.map((a) => <Row key={a.id} a={a} />)}</tbody>
          </table>
        </div>
      )}
      {list.items && list.items.length > 0 && list.more && (
        <p class="more"><Button onClick={list.more}>Show more</Button></p>
      )}
    </>
  )
}

function Row({ a }: { a: Artifact }) {
  const tags = Object.entries(a.tags).filter(([k]) => !k.startsWith('mlflow.'))
  return (
    <tr>
      <td class="main-cell">
        <a href={href('artifact', { kind: a.kind, name: a.name })}>{a.name}</a>
        {a.description && <span class="dim small one-line">{a.description}</span>}
        {tags.length > 0 && (
          <span class="tags">{tags.slice(0, 6).map(([k, v]) => <Badge key={k}>{k}{v === '' ? '' : `: ${v}`}</Badge>)}</span>
        )}
      </td>
      <td data-name="Kind"><Badge>{a.kind}</Badge></td>
      <td data-name="Versions" class="n" title={count(a.last_version, 'version')}>{a.last_version}</td>
      <td data-name="Aliases" class={a.aliases.length ? '' : 'no-cell'}>
        <span class="chips">{a.aliases.map((x) => (
          <a key={x.alias} class={`alias ${x.break_glass ? 'broken' : ''}`}
            href={href('artifact', { kind: a.kind, name: a.name }, { v: String(x.version) })}
            title={`since ${fullTime(x.since)}, by ${x.by}${x.reason && `: ${x.reason}`}`}>
            {x.alias} <span class="num">{x.version}</span>
          </a>
        ))}</span>
      </td>
      <td data-name="Updated" title={fullTime(a.updated)}>{when(a.updated)}</td>
    </tr>
  )
}
