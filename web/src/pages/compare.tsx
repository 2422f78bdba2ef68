// Runs beside one another: what differs, their curves, their code.
import { useMemo, useState } from 'preact/hooks'
import { call } from '../api'
import { kinds, split, valueOf, type ColumnId, type Metric } from '../columns'
import { Swatch } from '../chart'
import { Curves } from '../curves'
import { duration, fullTime } from '../format'
import { href, navigate, usePlace, withQuery } from '../router'
import { RunsDiff } from '../run_data'
import { fileOf, filesIn } from '../run_files'
import { figure } from '../series'
import { TextDiff } from '../textdiff'
import type { Routes, TrackedRun } from '../types'
import { Button, Empty, Failure, PageHead, useLoad } from '../ui'
import { metricsOf, RunName, TrackState } from './experiment'

export function ComparePage({ experiment }: { experiment: string }) {
  const { query } = usePlace()
  const ids = query.get('ids') ?? ''
  const put = (changes: Record<string, string | null>) => navigate(withQuery(changes), { replace: true })
  const head = useLoad((signal) => call('GET /api/v1/experiments/{id}', { params: { id: experiment }, signal }), [experiment])
  const { data, error, reload } = useLoad(async (signal) => ids ? compared(await call('GET /api/v1/runs/compare', { query: { ids }, signal })) : [], [ids])
  const out = (id: string) => put({ ids: ids.split(',').filter((x) => x !== id).join(',') || null })
  return (
    <>
      <p class="crumb"><a href={href('experiments')}>Experiments</a> › <a href={href('experiment', { experiment }, { runs: ids })}>{head.data?.name ?? experiment}</a></p>
      <PageHead title={data ? `${data.length} runs compared` : 'Runs compared'} />
      {error && <Failure error={error} retry={reload} />}
      {data && data.length < 2 && <Empty title="It takes two runs"><p>Choose them in the table of the experiment.</p></Empty>}
      {data && data.length > 1 && (
        <>
          <CompareTable runs={data} experiment={experiment} out={out} all={query.get('all') === '1'} put={put} />
          <h2 class="part">Curves</h2>
          <Curves runs={data} metrics={metricsOf(data)} put={put} />
          <Pair runs={data} />
          <Code runs={data} />
        </>
      )}
    </>
  )
}

/** The answer has a row for each key; everything else here wants runs. */
function compared(c: Routes['GET /api/v1/runs/compare']['reply']): TrackedRun[] {
  return c.runs.map((head, i) => {
    const of = (rows: { key: string; values: (string | number | null)[] }[]) =>
      Object.fromEntries(rows.map((r) => [r.key, r.values[i] ?? null]))
    const metrics = c.metrics.filter((r) => typeof r.values[i] === 'number')
      .map((r): [string, Metric] => [r.key, { value: r.values[i] as number, step: 0, time_ms: 0 }])
    return { ...(head as unknown as TrackedRun), params: of(c.params), tags: of(c.tags), metrics: Object.fromEntries(metrics), datasets: [] }
  })
}

const attributesShown = ['status', 'started', 'duration', 'user']
const RARE = /^tags\.mlflow\.(log-model|user|runName|source\.(type|name))/

function CompareTable({ runs, experiment, out, all, put }: {
  runs: TrackedRun[]; experiment: string; out: (id: string) => void; all: boolean
  put: (c: Record<string, string | null>) => void
}) {
  const rows = useMemo(() => {
    const ids = new Set<ColumnId>(attributesShown.map((a) => `attributes.${a}`))
    for (const kind of ['params', 'metrics', 'tags'] as const)
      for (const key of [...new Set(runs.flatMap((r) => Object.keys(r[kind])))].sort()) ids.add(`${kind}.${key}`)
    return [...ids].map((id) => {
      const values = runs.map((r) => valueOf(r, id))
      return { id, values, differs: values.some((v) => v !== values[0]) }
    }).filter((r) => r.values.some((v) => v !== null && v !== ''))
  }, [runs])
  const shown = rows.filter((r) => all || (r.differs && !RARE.test(r.id)))
  return (
    <>
      <div class="toolbar">
        <label class="check"><input type="checkbox" checked={!all} onChange={() => put({ all: all ? null : '1' })} /> only what differs</label>
        <span class="dim small">{shown.length} of {rows.length} rows</span>
      </div>
      <div class="grid-frame compare-frame" tabIndex={0}>
        <table class="grid compare" aria-label="Comparison">
          <thead>
            <tr>
              <th />
              {runs.map((r, i) => (
                <th key={r.id} scope="col"><span class="compare-head">
                  <Swatch n={i} /><RunName r={r} experiment={experiment} />
                  <Button kind="quiet" icon="close" label={`Take ${r.name || r.id.slice(0, 8)} out`} onClick={() => out(r.id)} />
                </span></th>
              ))}
            </tr>
          </thead>
          {kinds.map((kind) => {
            const of = shown.filter((r) => split(r.id).kind === kind)
            if (!of.length) return null
            return (
              <tbody key={kind}>
                <tr class="group"><th colSpan={runs.length + 1} scope="colgroup"><span class="small-head">{kind}</span></th></tr>
                {of.map((row) => <CompareRow key={row.id} row={row} />)}
              </tbody>
            )
          })}
        </table>
      </div>
    </>
  )
}

function CompareRow({ row }: { row: { id: ColumnId; values: (number | string | null)[]; differs: boolean } }) {
  const { kind, key } = split(row.id)
  const numbers = kind === 'metrics' ? row.values.filter((v): v is number => typeof v === 'number') : []
  const lo = Math.min(...numbers)
  const hi = Math.max(...numbers)
  const said = (v: number | string | null) => v === null ? <span class="dim">–</span>
    : row.id === 'attributes.status' ? <TrackState status={String(v)} />
    : row.id === 'attributes.started' ? fullTime(String(v))
    : row.id === 'attributes.duration' ? duration(Number(v)) : typeof v === 'number' ? figure(v) : v
  return (
    <tr class={row.differs ? 'differs' : ''}>
      <th scope="row" title={row.id}>{key}</th>
      {row.values.map((v, i) => (
        <td key={i} class={kind === 'metrics' ? 'n' : ''} title={v === null ? '' : String(v)}>
          {said(v)}
          {typeof v === 'number' && numbers.length > 1 && hi > lo && (
            <span class="share" aria-hidden="true"><span style={{ width: `${((v - lo) / (hi - lo)) * 100}%` }} /></span>
          )}
        </td>
      ))}
    </tr>
  )
}

// ---- two of them: data, code, environment

function Pair({ runs }: { runs: TrackedRun[] }) {
  const [pair, setPair] = useState<[number, number]>([0, 1])
  const [a, b] = [runs[pair[0]], runs[pair[1]]]
  const name = (r: TrackedRun) => r.name || r.id.slice(0, 8)
  const choose = (which: 0 | 1) => (
    <select aria-label={which ? 'Second run of the data' : 'First run of the data'} value={String(pair[which])}
      onChange={(e) => setPair(which ? [pair[0], Number(e.currentTarget.value)] : [Number(e.currentTarget.value), pair[1]])}>
      {runs.map((r, i) => <option key={r.id} value={String(i)}>{name(r)}</option>)}
    </select>
  )
  if (!a || !b) return null
  return (
    <section aria-label="Two runs">
      {runs.length > 2 && <div class="toolbar"><span class="dim small">Data and environment of</span>{choose(0)}{choose(1)}</div>}
      <RunsDiff a={a.id} b={b.id} names={[name(a), name(b)]} />
    </section>
  )
}

// ---- the code that was not committed

const PATCH = 'croft/code.patch'
const RECORD = 'croft/record.json' // with one, no patch means that all was committed

function Code({ runs }: { runs: TrackedRun[] }) {
  const [pair, setPair] = useState<[number, number]>([0, 1])
  const { data, error } = useLoad((signal) => Promise.all(runs.map(async (r) => {
    const files = await filesIn(r.id, 'croft', signal).catch(() => [])
    const has = (path: string) => files.some((f) => f.path === path)
    return has(PATCH) ? 'patch' as const : has(RECORD) ? 'clean' as const : null
  })), [runs.map((r) => r.id).join()])
  const having = data?.includes('patch') ? runs.flatMap((_, i) => (data[i] ? [i] : [])) : []
  const [a, b] = [having[pair[0]], having[pair[1]]]
  const texts = useLoad(async () => {
    if (a === undefined || b === undefined) return null
    const read = async (i: number) => data![i] === 'clean' ? '' : (await fileOf(runs[i]!.experiment, runs[i]!.id, PATCH)).text()
    return [await read(a), await read(b)] as const
  }, [a, b, runs[a ?? 0]?.id, runs[b ?? 0]?.id])
  if (error || having.length < 2) return null
  const name = (i: number) => runs[i]!.name || runs[i]!.id.slice(0, 8)
  const choose = (which: 0 | 1) => (
    <select aria-label={which ? 'Second run' : 'First run'} value={String(pair[which])}
      onChange={(e) => setPair(which ? [pair[0], Number(e.currentTarget.value)] : [Number(e.currentTarget.value), pair[1]])}>
      {having.map((i, k) => <option key={i} value={String(k)}>{name(i)}</option>)}
    </select>
  )
  return (
    <section aria-label="Code">
      <h2 class="part">Code that was not committed</h2>
      {having.length > 2 && <div class="toolbar">{choose(0)}{choose(1)}</div>}
      {texts.error && <Failure error={texts.error} retry={texts.reload} />}
      {texts.data && <TextDiff before={texts.data[0]} after={texts.data[1]} names={[name(a!), name(b!)]} />}
    </section>
  )
}
