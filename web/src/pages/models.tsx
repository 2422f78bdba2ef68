import { useState } from 'preact/hooks'
import { call } from '../api'
import { duration, parameters, size } from '../format'
import { refreshStatus } from '../health'
import { pull, pulls, stopPull, type Pull } from '../pulling'
import { useStore } from '../store'
import { Badge, Button, Confirm, Facts, Failure, Icon, PageHead, Progress, useLoad } from '../ui'
import type { Model } from '../types'

const purposes: Record<string, string> = { chat: 'writes answers', embed: 'finds passages' }

export function ModelsPage() {
  const going = useStore(pulls)
  const finished = going.filter((p) => p.state === 'done').length
  const { data, error, reload } = useLoad(
    (signal) => call('GET /api/v1/models', { signal }), [finished])
  const [other, setOther] = useState('')
  const [removing, setRemoving] = useState<Model | null>(null)
  const installed = data?.models.filter((m) => m.installed) ?? []
  const catalogue = data?.models.filter((m) => !m.installed) ?? []
  const known = new Set(data?.models.map((m) => m.name))
  const others = going.filter((p) => !known.has(p.model) && p.state !== 'done')
  return (
    <>
      <PageHead title="Models" sub="Open models, on this machine." />
      {error && <Failure error={error} retry={reload} />}
      {data && (
        <>
          <h2 class="small-head">Installed</h2>
          {installed.length ? (
            <ul class="cards">
              {installed.map((m) => <Card key={m.name} m={m} pull={going.find((p) => p.model === m.name)}
                onRemove={() => setRemoving(m)} />)}
            </ul>
          ) : <p class="dim">None yet. The two defaults are small; fetch them below.</p>}
          {catalogue.length > 0 && <h2 class="small-head">Catalogue</h2>}
          <ul class="cards">
            {catalogue.map((m) => <Card key={m.name} m={m} pull={going.find((p) => p.model === m.name)} />)}
          </ul>
          <h2 class="small-head">Another one</h2>
          <form class="search-box" onSubmit={(e) => {
            e.preventDefault()
            if (other.trim()) void pull(other.trim())
          }}>
            <input value={other} aria-label="Name, URL or path of a model" spellcheck={false}
              placeholder="hub name, URL, or path on the server"
              onInput={(e) => setOther(e.currentTarget.value)} />
            <Button icon="download" type="submit">Fetch</Button>
          </form>
          <p class="dim small">GGUF files and safetensors folders. Pickled checkpoints are refused: they can run code.</p>
          {others.map((p) => (
            <div key={p.model} class="card"><strong>{p.model}</strong><PullView pull={p} /></div>
          ))}
        </>
      )}
      {removing && (
        <Confirm title="Delete this model?" action="Delete" onClose={() => setRemoving(null)}
          onYes={async () => {
            await call('DELETE /api/v1/models/{name}', { params: { name: removing.name } })
            reload()
            void refreshStatus()
          }}>
          <p><strong>{removing.name}</strong>, {size(removing.bytes)}. It can be fetched again.</p>
        </Confirm>
      )}
    </>
  )
}

function Card({ m, pull: p, onRemove }: { m: Model; pull?: Pull; onRemove?: () => void }) {
  const busy = p?.state === 'going'
  return (
    <li class="card">
      <div class="card-head">
        <div>
          <strong>{m.name}</strong>{' '}
          {m.is_default && <Badge kind="good">default</Badge>}{' '}
          {m.loaded && <Badge kind="good">loaded</Badge>}
          <span class="dim small">{m.about}</span>
        </div>
        {!m.installed && !busy && (
          <Button icon="download" kind="main" onClick={() => void pull(m.name)}>Fetch</Button>
        )}
        {onRemove && <Button icon="trash" kind="quiet" label={`Delete ${m.name}`} onClick={onRemove} />}
      </div>
      <p class="meta small">
        <span>{purposes[m.purpose] ?? m.purpose}</span>
        {!!m.parameters && <span>{parameters(m.parameters)} parameters</span>}
        {m.bytes > 0 && <span>{size(m.bytes)}</span>}
        {m.licence && <span>{m.licence === 'not stated' ? 'licence not stated' : m.licence}</span>}
      </p>
      {p && p.state !== 'done' && <PullView pull={p} />}
      <details class="small">
        <summary>Details</summary>
        <Facts rows={[
          ['Architecture', m.architecture ?? '–'],
          ['Weights', m.weights ?? '–'],
          ['Context', m.context ? `${m.context.toLocaleString('en')} tokens` : '–'],
          ...(m.dim ? [['Dimensions', m.dim] as [string, number]] : []),
          ['Source', <span class="path">{m.source}</span>],
          ['SHA-256', <code class="hash">{m.sha256 || '–'}</code>],
        ]} />
      </details>
    </li>
  )
}

function PullView({ pull: p }: { pull: Pull }) {
  if (p.state === 'failed')
    return <p class="reason" role="alert"><Icon name="warn" /> {p.why}{' '}
      <Button icon="retry" onClick={() => void pull(p.model)}>Try again</Button></p>
  if (p.state === 'stopped')
    return <p class="dim">Stopped. What has come stays, and is continued next time.</p>
  const seconds = (p.seen - p.started) / 1000
  const rate = seconds > 0.5 ? (p.done - p.before) / seconds : 0
  return (
    <div class="pull">
      <Progress value={p.total > 0 ? p.done / p.total : null} label={`Fetching ${p.model}`} />
      <span class="small dim num">
        {p.what} {p.total > 0 && <>{size(p.done)} of {size(p.total)}</>}
        {rate > 0 && <> · {size(rate)}/s · {duration(((p.total - p.done) / rate) * 1000)} left</>}
      </span>
      <Button icon="close" kind="quiet" label={`Stop fetching ${p.model}`} onClick={() => stopPull(p.model)} />
    </div>
  )
}
