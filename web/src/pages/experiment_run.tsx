// One run of an experiment: what went in, what came out, its curves and files.
import { call } from '../api'
import { metricOf } from '../columns'
import { Curves } from '../curves'
import { duration, fullTime } from '../format'
import { href, navigate, usePlace, withQuery } from '../router'
import { RunInputsOutputs } from '../run_data'
import { RunFiles } from '../run_files'
import { figure } from '../series'
import type { TrackedRun } from '../types'
import { Facts, Failure, PageHead, useEvery, useLoad } from '../ui'
import { metricsOf, TrackState } from './experiment'

const byKey = (a: [string, unknown], b: [string, unknown]) => (a[0] < b[0] ? -1 : 1)
const entries = (o: Record<string, unknown>): [string, string][] =>
  Object.entries(o).map(([k, v]): [string, string] => [k, String(v)]).sort(byKey)

export function ExperimentRunPage({ experiment, id }: { experiment: string; id: string }) {
  usePlace()
  const { data: r, error, reload } = useLoad((signal) => call('GET /api/v1/runs/{id}/data', { params: { id }, signal }), [id])
  const head = useLoad((signal) => call('GET /api/v1/experiments/{id}', { params: { id: experiment }, signal }), [experiment])
  useEvery(3000, reload, r?.status === 'running')
  const crumb = (
    <p class="crumb"><a href={href('experiments')}>Experiments</a> › <a href={href('experiment', { experiment })}>{head.data?.name ?? experiment}</a></p>
  )
  if (error && !r) return <>{crumb}<PageHead title="Run" /><Failure error={error} retry={reload} /></>
  if (!r) return <>{crumb}<PageHead title="Run" sub="Opening …" /></>
  const put = (changes: Record<string, string | null>) => navigate(withQuery(changes), { replace: true })
  const tags = entries(r.tags)
  const own = tags.filter(([k]) => !k.startsWith('mlflow.'))
  const told = tags.filter(([k]) => k.startsWith('mlflow.'))
  const note = r.tags['mlflow.note.content']
  return (
    <>
      {crumb}
      <PageHead title={r.name || id.slice(0, 8)} sub={<>
        <TrackState status={r.status} /> · {fullTime(r.started)} · {duration(r.duration_ms)}{r.user && ` · ${r.user}`}
      </>} />
      {typeof note === 'string' && note && <p class="lead">{note}</p>}
      <div class="pair-columns">
        <Pairs title="Metrics" rows={Object.keys(r.metrics).map((k): [string, string] => [k, figure(metricOf(r, k)!.value)]).sort(byKey)}
          extra={(k) => `step ${metricOf(r, k)!.step.toLocaleString('en')}`} none="No metrics." />
        <Pairs title="Parameters" rows={entries(r.params)} none="No parameters." />
      </div>
      {Object.keys(r.metrics).length > 0 && <><h2 class="part">Curves</h2><Curves runs={[r]} metrics={metricsOf([r])} put={put} /></>}
      <Inputs r={r} />
      <RunInputsOutputs run={id} />
      <RunFiles experiment={experiment} run={id} />
      <h2 class="part">Tags</h2>
      {own.length > 0 ? <Facts rows={own} /> : <p class="dim">No tags.</p>}
      {told.length > 0 && (
        <details class="told"><summary class="dim">What the client said of itself ({told.length})</summary><Facts rows={told} /></details>
      )}
      <p class="dim small">Run <span class="hash">{id}</span></p>
    </>
  )
}

function Pairs({ title, rows, none, extra }: {
  title: string; rows: [string, string][]; none: string; extra?: (key: string) => string
}) {
  return (
    <section aria-label={title} class="pairs">
      <h2>{title} <span class="dim num">{rows.length || ''}</span></h2>
      {!rows.length && <p class="dim">{none}</p>}
      {rows.length > 0 && (
        <div class="pairs-frame" tabIndex={rows.length > 12 ? 0 : -1}>
          <table>
            <tbody>
              {rows.map(([k, v]) => (
                <tr key={k}><th scope="row">{k}</th><td class="num">{v}</td>{extra && <td class="dim small num">{extra(k)}</td>}</tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  )
}

function Inputs({ r }: { r: TrackedRun }) {
  if (!r.datasets.length) return null
  return (
    <section aria-label="Inputs">
      <h2 class="part">Inputs</h2>
      <ul class="files">
        {r.datasets.map((i) => (
          <li key={`${i.name} ${i.digest}`}><div class="file">
            <span class="path">{i.name}</span><span class="dim small">dataset{i.context && `, ${i.context}`}</span><span class="hash dim small">{i.digest}</span>
          </div></li>
        ))}
      </ul>
    </section>
  )
}
