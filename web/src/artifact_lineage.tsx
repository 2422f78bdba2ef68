// Where a version comes from, and what depends on it.
import { useMemo } from 'preact/hooks'
import { call } from './api'
import { count } from './format'
import { Graph, type GraphEdge, type GraphNode } from './graph'
import { href, usePlace } from './router'
import type { ArtifactVersion, LineageEdge, LineageNode } from './types'
import { Choice, Empty, Failure, Note, useLoad } from './ui'

const ways = [['both', 'Both'], ['up', 'Comes from'], ['down', 'Leads to']] as const
const words = { used: 'used', produced: 'was produced by', derived_from: 'is derived from' } as const

function nodeOf(n: LineageNode, here: string): GraphNode {
  if (n.type === 'version')
    return {
      id: n.id, label: n.name!, tail: `:${n.version}`, sub: n.deleted ? `${n.kind}, deleted` : n.kind, kind: n.kind!,
      on: n.label === here, gone: n.deleted,
      href: href('artifact', { kind: n.kind!, name: n.name! }, { v: String(n.version), view: 'lineage' }),
    }
  if (n.type === 'run')
    return { id: n.id, label: n.label.replace(/^run:/, '').slice(0, 12), sub: 'run', kind: 'run',
      href: href('run', { id: n.label.replace(/^run:/, '') }) }
  return { id: n.id, label: n.label, sub: 'kept elsewhere', kind: 'uri' }
}

/** Both answers as one graph, in the direction of time: from what was used to what came of it. */
export function graphOf(parts: { nodes: LineageNode[]; edges: LineageEdge[] }[], here: string): { nodes: GraphNode[]; edges: GraphEdge[] } {
  const nodes = new Map<string, LineageNode>()
  const edges = new Map<string, GraphEdge>()
  for (const p of parts) {
    for (const n of p.nodes) if (!nodes.has(n.id)) nodes.set(n.id, n)
    for (const e of p.edges)
      edges.set(`${e.source}\n${e.node}`, { from: e.source, to: e.node, kind: e.kind, title: words[e.kind] })
  }
  return {
    nodes: [...nodes.values()].map((n) => nodeOf(n, here)),
    edges: [...edges.values()].filter((e) => nodes.has(e.from) && nodes.has(e.to)),
  }
}

export function Lineage({ version: v, versions, put }: {
  version: ArtifactVersion; versions: ArtifactVersion[]; put: (c: Record<string, string | null>) => void
}) {
  const { query } = usePlace()
  const way = (ways.find(([w]) => w === query.get('way'))?.[0] ?? 'both') as (typeof ways)[number][0]
  const ref = `${v.kind}/${v.name}:${v.version}`
  const { data, error, reload } = useLoad((signal) => Promise.all(
    (way === 'both' ? ['up', 'down'] as const : [way]).map((direction) =>
      call('GET /api/v1/lineage/graph', { query: { of: ref, direction }, signal }))), [ref, way])
  const graph = useMemo(() => data && graphOf(data, ref), [data])
  return (
    <section aria-label="Lineage">
      <div class="toolbar">
        <select aria-label="Version" value={String(v.version)} onChange={(e) => put({ v: e.currentTarget.value })}>
          {versions.map((x) => (
            <option key={x.version} value={String(x.version)}>
              Version {x.version}{x.aliases.length ? ` (${x.aliases.join(', ')})` : ''}
            </option>
          ))}
        </select>
        <Choice label="Direction" value={way} options={ways} onChange={(w) => put({ way: w === 'both' ? null : w })} />
        {graph && <span class="dim small">{count(graph.nodes.length - 1, 'relative')}</span>}
      </div>
      {error && <Failure error={error} retry={reload} />}
      {data?.some((d) => d.cut) && <Note kind="warn" title="Only a part is shown."> The graph goes on: `croft artifact lineage {ref}` shows more.</Note>}
      {graph && (graph.nodes.length > 1 ? <Graph label={`Lineage of ${ref}`} {...graph} /> : (
        <Empty title="No lineage">
          <p>Name the inputs when a version is added, or link it:</p>
          <pre class="command"><code>croft artifact link {ref} derived_from dataset/raw:1</code></pre>
        </Empty>
      ))}
    </section>
  )
}
