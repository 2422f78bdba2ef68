// One artifact: its versions, where its aliases pointed and point, what it comes from, what differs.
import { useMemo, useState } from 'preact/hooks'
import { call } from '../api'
import { CardView } from '../artifact_card'
import { Lineage } from '../artifact_lineage'
import { Compare } from '../artifact_compare'
import { AliasDialog, History } from '../artifact_history'
import { VersionDetail } from '../artifact_version'
import { count, fullTime, size, when } from '../format'
import { href, navigate, usePlace, withQuery } from '../router'
import type { Artifact, ArtifactVersion } from '../types'
import { Badge, Button, Choice, Empty, Failure, Note, PageHead, useEvery, useLoad } from '../ui'

const views = [['versions', 'Versions'], ['card', 'Card'], ['history', 'History'], ['lineage', 'Lineage'], ['compare', 'Compare']] as const
type View = (typeof views)[number][0]

export interface Times { as_of?: string; known_at?: string }

const PAGE = 200

export function ArtifactPage({ kind, name }: { kind: string; name: string }) {
  const { query } = usePlace()
  const at: Times = { as_of: query.get('as_of') ?? undefined, known_at: query.get('known_at') ?? undefined }
  const view = (views.find(([v]) => v === query.get('view'))?.[0] ?? 'versions') as View
  const params = { kind, name }
  const [pages, setPages] = useState(1)
  const { data, error, reload } = useLoad(async (signal) => {
    const [artifact, now, list] = await Promise.all([
      call('GET /api/v1/artifacts/{kind}/{name}', { params, query: at, signal }),
      call('GET /api/v1/artifacts/{kind}/{name}', { params, signal }),
      call('GET /api/v1/artifacts/{kind}/{name}/versions', { params, query: { limit: PAGE * pages }, signal }),
    ])
    return { artifact, now, list }
  }, [kind, name, at.as_of, at.known_at, pages])
  useEvery(5000, reload)
  const [looking, setLooking] = useState(false)
  const [moving, setMoving] = useState<number | null>(null)
  const versions = useMemo(() => data && seenAt(data.list.versions, data.artifact, at), [data])
  if (error && !data) return <><Crumb kind={kind} /><PageHead title={name} /><Failure error={error} retry={reload} /></>
  if (!data || !versions) return <><Crumb kind={kind} /><PageHead title={name} sub="Opening …" /></>
  const { artifact, list } = data
  const chosen = versions.find((v) => String(v.version) === query.get('v')) ?? versions[0]
  const put = (changes: Record<string, string | null>) => navigate(withQuery(changes), { replace: true })
  return (
    <>
      <Crumb kind={kind} />
      <PageHead title={artifact.name} sub={<>
        <Badge>{kind}</Badge> {count(list.count, 'version')} · by {artifact.creator} · {fullTime(artifact.created)}
      </>}>
        {chosen && !at.as_of && (
          <Button kind="main" icon="flag" onClick={() => setMoving(chosen.version)}>Move an alias</Button>
        )}
      </PageHead>
      {artifact.description && <p class="lead">{artifact.description}</p>}
      {error && <Failure error={error} retry={reload} />}
      {data.now.aliases.filter((a) => a.break_glass).map((a) => (
        <Note key={a.alias} kind="error" title={`The glass was broken for ${a.alias}.`}>
          {' '}{a.by} pointed it at version {a.version} on {fullTime(a.since)} past the promotion rules:
          {' '}“{a.reason}”
        </Note>
      ))}
      <div class="toolbar">
        <Choice label="View" value={view} options={views} onChange={(v) => put({ view: v === 'versions' ? null : v })} />
        {view !== 'compare' && !at.as_of && !at.known_at && (
          <Button kind="quiet" icon="clock" aria-expanded={looking} onClick={() => setLooking(!looking)}>Look back</Button>
        )}
      </div>
      {(looking || at.as_of || at.known_at) && <AsOf at={at} put={put} created={artifact.created} />}
      {view === 'versions' && (versions.length ? (
        <>
          <Versions artifact={artifact} list={versions} chosen={chosen ?? null} put={put} />
          {list.next && <p class="more"><Button onClick={() => setPages(pages + 1)}>Show older versions</Button></p>}
          {chosen && <VersionDetail v={chosen} aliases={data.now.aliases.map((a) => a.alias)} onChange={reload} past={!!at.as_of} />}
        </>
      ) : (
        <Empty title={at.as_of ? 'There was no version yet' : 'No versions yet'}>
          {!at.as_of && <pre class="command"><code>croft artifact add {kind}/{name} --source s3://bucket/path</code></pre>}
        </Empty>
      ))}
      {view === 'card' && (chosen
        ? <CardView key={chosen.version} v={chosen} past={!!(at.as_of || at.known_at)} />
        : <Empty title="No versions yet" />)}
      {view === 'history' && <History artifact={artifact} at={at} put={put} onChange={reload} />}
      {view === 'lineage' && (chosen
        ? <Lineage version={chosen} versions={versions} put={put} />
        : <Empty title="No versions yet" />)}
      {view === 'compare' && <Compare versions={versions} put={put} />}
      {moving !== null && (
        <AliasDialog artifact={artifact} versions={versions} version={moving}
          onClose={() => setMoving(null)} onDone={reload} />
      )}
    </>
  )
}

/** The versions that were there at the time, with the aliases that they had. */
function seenAt(list: ArtifactVersion[], artifact: Artifact, at: Times): ArtifactVersion[] {
  if (!at.as_of && !at.known_at) return list
  const time = Math.min(Date.parse(at.as_of ?? at.known_at!), Date.parse(at.known_at ?? at.as_of!))
  return list.filter((v) => Date.parse(v.created) <= time).map((v) => ({
    ...v, aliases: artifact.aliases.filter((a) => a.version === v.version).map((a) => a.alias),
  }))
}

function Crumb({ kind }: { kind: string }) {
  return (
    <p class="crumb">
      <a href={href('registry')}>Registry</a> › <a href={href('registry', {}, { kind })}>{kind}</a>
    </p>
  )
}

// ---- looking back

/** datetime-local has no zone: it is the reader's. */
const toLocal = (iso: string | undefined): string => {
  const t = iso ? new Date(iso) : null
  if (!t || isNaN(t.getTime())) return ''
  return new Date(t.getTime() - t.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)
}
const toIso = (local: string): string | null => {
  const t = new Date(local)
  return local && !isNaN(t.getTime()) ? t.toISOString() : null
}

function AsOf({ at, put, created }: {
  at: Times; put: (c: Record<string, string | null>) => void; created: string
}) {
  const now = toLocal(new Date().toISOString())
  const past = !!(at.as_of || at.known_at)
  return (
    <div class={`as-of ${past ? 'past' : ''}`}>
      <label>As of <input type="datetime-local" step={1} value={toLocal(at.as_of)} max={now} min={toLocal(created).slice(0, 10) + 'T00:00:00'}
        aria-label="As of" onChange={(e) => put({ as_of: toIso(e.currentTarget.value) })} /></label>
      <label>as known at <input type="datetime-local" step={1} value={toLocal(at.known_at)} max={now}
        aria-label="As known at" onChange={(e) => put({ known_at: toIso(e.currentTarget.value) })} /></label>
      {past ? (
        <>
          <Button icon="close" onClick={() => put({ as_of: null, known_at: null })}>Now</Button>
          <span class="small" role="status">
            What held {at.as_of ? `on ${fullTime(at.as_of)}` : 'now'}
            {at.known_at ? `, as it was known on ${fullTime(at.known_at)}` : ', as it is known today'}
          </span>
        </>
      ) : <span class="dim small">What held then, and what was known of it when: corrections made later count or not.</span>}
    </div>
  )
}

// ---- versions

function Versions({ artifact, list, chosen, put }: {
  artifact: Artifact; list: ArtifactVersion[]; chosen: ArtifactVersion | null
  put: (c: Record<string, string | null>) => void
}) {
  const broken = new Set(artifact.aliases.filter((a) => a.break_glass).map((a) => a.alias))
  return (
    <div class="table-frame">
      <table class="rows versions-table">
        <thead><tr><th>Version</th><th>Aliases</th><th>Source</th><th class="n">Size</th><th>By</th>
          <th>Created</th></tr></thead>
        <tbody>
          {list.map((v) => (
            <tr key={v.version} class={v === chosen ? 'on' : ''}>
              <td data-name="Version">
                <button type="button" class="link" aria-pressed={v === chosen}
                  onClick={() => put({ v: String(v.version) })}>
                  <span class="sr">Version </span>{v.version}
                </button>
              </td>
              <td data-name="Aliases" class={v.aliases.length ? '' : 'no-cell'}>
                <span class="chips">{v.aliases.map((a) => (
                  <span key={a} class={`alias ${broken.has(a) ? 'broken' : ''}`}>{a}</span>
                ))}</span>
              </td>
              <td data-name="Source" class="small path">
                {v.description && <span class="one-line">{v.description}</span>}
                <span class="dim one-line">{v.source || (v.digest ? `sha256 ${v.digest.slice(0, 16)}…` : '–')}</span>
              </td>
              <td data-name="Size" class={v.bytes ? 'n' : 'n no-cell'}>{v.bytes ? size(v.bytes) : '–'}</td>
              <td data-name="By">{v.creator}</td>
              <td data-name="Created" title={fullTime(v.created)}>{when(v.created)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
