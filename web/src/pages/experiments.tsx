// The experiments of a project.
import { call } from '../api'
import { fullTime, when } from '../format'
import { href, navigate, usePlace, withQuery } from '../router'
import { Badge, Choice, Empty, Failure, PageHead, useEvery, useLoad } from '../ui'

const views = [['active', 'Active'], ['deleted', 'Deleted'], ['all', 'All']] as const

export function ExperimentsPage() {
  const { query } = usePlace()
  const view = views.find(([v]) => v === query.get('view'))?.[0] ?? 'active'
  const text = query.get('name') ?? ''
  const { data, error, reload } = useLoad((signal) => call('GET /api/v1/experiments', { query: { view }, signal }), [view])
  useEvery(5000, reload)
  const put = (changes: Record<string, string | null>) => navigate(withQuery(changes), { replace: true })
  const list = data && [...data.experiments].filter((x) => x.name.toLowerCase().includes(text.toLowerCase()))
    .sort((a, b) => (a.updated < b.updated ? 1 : -1))
  const fresh = data && view === 'active' && !text && data.experiments.length <= 1
  return (
    <>
      <PageHead title="Experiments" sub="Runs with parameters and metrics, from MLflow's client or Croft's own." />
      <div class="toolbar">
        <Choice label="Which" value={view} options={views} onChange={(v) => put({ view: v === 'active' ? null : v })} />
        <input type="search" value={text} placeholder="Part of a name" aria-label="Part of a name"
          onInput={(e) => put({ name: e.currentTarget.value || null })} />
      </div>
      {error && <Failure error={error} retry={reload} />}
      {list && list.length > 0 && (
        <div class="table-frame">
          <table class="rows experiments-table">
            <thead><tr><th>Name</th><th>Tags</th><th>Created</th><th>Updated</th></tr></thead>
            <tbody>
              {list.map((x) => (
                <tr key={x.id}>
                  <td class="main-cell">
                    <a href={href('experiment', { experiment: x.id })}>{x.name}</a>
                    {x.deleted && <span class="dim small">deleted</span>}
                    {typeof x.tags['mlflow.note.content'] === 'string' && (
                      <span class="dim small one-line">{x.tags['mlflow.note.content']}</span>
                    )}
                  </td>
                  <td data-name="Tags"><span class="chips">
                    {Object.entries(x.tags).filter(([k]) => !k.startsWith('mlflow.')).slice(0, 5)
                      .map(([k, v]) => <Badge key={k}>{k}: {String(v)}</Badge>)}
                  </span></td>
                  <td data-name="Created" title={fullTime(x.created)}>{when(x.created)}</td>
                  <td data-name="Updated" title={fullTime(x.updated)}>{when(x.updated)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {list && !list.length && <Empty title={text ? 'No experiment of that name' : 'No experiments'} />}
      {fresh && <HowToBegin />}
    </>
  )
}

/** The first lines to type, with this server's address. */
export function HowToBegin() {
  return (
    <section class="begin">
      <h2 class="small-head">Record a run</h2>
      <p>With MLflow's client, unchanged:</p>
      <pre class="command"><code>{`export MLFLOW_TRACKING_URI=${location.origin}
python3 -c 'import mlflow; mlflow.log_param("lr", 0.1); mlflow.log_metric("loss", 0.5)'`}</code></pre>
      <p>Or any command, with its code, environment and output:</p>
      <pre class="command"><code>croft run -- python3 train.py</code></pre>
    </section>
  )
}
