import { useState } from 'preact/hooks'
import { call } from '../api'
import { count, duration, parameters, size } from '../format'
import { refreshStatus } from '../health'
import { useLiveModels, type Live } from '../live_models'
import { pull, pulls, stopPull, type Pull } from '../pulling'
import { useStore } from '../store'
import { Badge, Button, Confirm, Facts, Failure, Icon, PageHead, Progress, useLoad } from '../ui'
import type { Model, Routes } from '../types'

type Plan = Routes['GET /api/v1/models/{name}/plan']['reply']

const purposes: Record<string, string> = { chat: 'writes answers', embed: 'finds passages', rerank: 'ranks passages' }

export function ModelsPage() {
  const going = useStore(pulls)
  const finished = going.filter((p) => p.state === 'done').length
  const { data, error, reload } = useLoad(
    (signal) => call('GET /api/v1/models', { signal }), [finished])
  const live = useLiveModels()
  const [other, setOther] = useState('')
  const [base, setBase] = useState('')
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
          <Memory live={live} />
          <h2 class="small-head">Installed</h2>
          {installed.length ? (
            <ul class="cards">
              {installed.map((m) => <Card key={m.name} m={m} pull={going.find((p) => p.model === m.name)}
                onRemove={() => setRemoving(m)} live={live} />)}
            </ul>
          ) : <p class="dim">None yet. The two defaults are small; fetch them below.</p>}
          {catalogue.length > 0 && <h2 class="small-head">Catalogue</h2>}
          <ul class="cards">
            {catalogue.map((m) => <Card key={m.name} m={m} pull={going.find((p) => p.model === m.name)} />)}
          </ul>
          <h2 class="small-head">Another one</h2>
          <form class="search-box" onSubmit={(e) => {
            e.preventDefault()
            if (other.trim()) void pull(other.trim(), base || undefined)
          }}>
            <input value={other} aria-label="Name, URL or path of a model" spellcheck={false}
              placeholder="hub name, URL, or path on the server"
              onInput={(e) => setOther(e.currentTarget.value)} />
            <select value={base} aria-label="A model, or an adapter of one" onChange={(e) => setBase(e.currentTarget.value)}>
              <option value="">a model</option>
              {installed.filter((m) => m.purpose === 'chat' && !m.base).map((m) => (
                <option key={m.name} value={m.name}>a LoRA adapter of {m.name}</option>
              ))}
            </select>
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

/** What all open models take, beside their files. */
function Memory({ live: { look } }: { live: Live }) {
  if (!look) return null
  const { used_bytes: used, memory_bytes: most } = look
  return (
    <div class="memory-line">
      <p class="small dim num">
        {look.models.length ? <>Open models take {size(used)} of memory{most > 0 && <> of {size(most)}</>}, beside their files.</> : 'No model is open.'}
      </p>
      {most > 0 && <Progress value={Math.min(1, used / most)} label="Memory of open models" />}
    </div>
  )
}

function LoadButton({ m, live }: { m: Model; live: Live }) {
  const [state, setState] = useState<'going' | Error | null>(null)
  const l = live.of(m.name)
  const act = async () => {
    setState('going')
    try {
      if (l) await call('POST /api/v1/models/{name}/unload', { params: { name: m.name } })
      else await call('POST /api/v1/models/{name}/load', { params: { name: m.name } })
      setState(null)
    } catch (e) {
      setState(e as Error)
    }
    live.refresh()
  }
  if (!live.look) return null
  return (
    <>
      {state instanceof Error && <span class="reason small" role="alert"><Icon name="warn" /> {state.message}</span>}
      <Button disabled={state === 'going' || l?.state === 'opening'} onClick={act} label={`${l ? 'Unload' : 'Load'} ${m.name}`}>
        {state === 'going' ? (l ? 'Unloading …' : 'Loading …') : l ? 'Unload' : 'Load'}
      </Button>
    </>
  )
}

const fits: Record<Plan['fits'], string> = {
  now: '', after_closing: ' An unused model will be closed for it.',
  not_now: ' Models in use leave no room for it now.', never: ' That is more than engine.memory_bytes allows.',
}

/** What a model that is not open would take, from its file's header. */
function PlanLine({ name }: { name: string }) {
  const { data: p } = useLoad((signal) =>
    call('GET /api/v1/models/{name}/plan', { params: { name }, signal, quiet: true }), [name])
  if (!p) return null
  return (
    <p class="small dim num" aria-label={`${name}, plan`}>
      Would take {size(p.total_bytes)} of memory at most: weights {size(p.weight_bytes)}
      {p.kv_bytes > 0 && <>, keys and values of {count(p.kv_tokens, 'token')} {size(p.kv_bytes)}</>}
      , a pass {size(p.pass_bytes)}{p.drafting_bytes > 0 && <>, the model for drafts {size(p.drafting_bytes)}</>}.
      {fits[p.fits]}
    </p>
  )
}

function LiveLine({ name, live }: { name: string; live: Live }) {
  const l = live.of(name)
  const r = live.rates(name)
  if (!l) return null
  if (l.state === 'opening') return <p class="small dim">Opening …</p>
  const number = (n: number) => Math.round(n).toLocaleString('en')
  return (
    <p class="live small" aria-label={`${name}, live`}>
      <span><b>{size(l.bytes)}</b> of memory{l.kv_bytes > 0 && `, ${size(l.kv_bytes)} of it for keys and values`}</span>
      {l.purpose === 'chat' && !l.base && <>
        <span><b>{l.running}</b> of {l.running_max} running</span>
        <span><b>{l.queued}</b> waiting</span>
        <span><b>{r ? number(r.read) : '–'}</b> tokens/s read</span>
        <span><b>{r ? number(r.written) : '–'}</b> tokens/s written</span>
        <span><b>{number(l.kv_tokens_max ? (l.kv_tokens * 100) / l.kv_tokens_max : 0)} %</b> of the cache filled, <b>{number(l.kv_tokens_max ? (l.kv_tokens_used * 100) / l.kv_tokens_max : 0)} %</b> in use</span>
        {l.preemptions > 0 && <span><b>{number(l.preemptions)}</b> times given way</span>}
        <span class="dim">{count(l.requests, 'answer')}: {number(l.prompt_tokens)} tokens read, {number(l.cached_tokens)} known, {number(l.generated_tokens)} written</span>
      </>}
    </p>
  )
}

function Card({ m, pull: p, onRemove, live }: { m: Model; pull?: Pull; onRemove?: () => void; live?: Live }) {
  const busy = p?.state === 'going'
  const open = live?.look ? live.of(m.name)?.state === 'open' : m.loaded
  return (
    <li class="card">
      <div class="card-head">
        <div>
          <strong>{m.name}</strong>{' '}
          {m.is_default && <Badge kind="good">default</Badge>}{' '}
          {open && <Badge kind="good">loaded</Badge>}
          {m.base && <Badge>adapter</Badge>}{' '}
          <span class="dim small">{m.base ? <>LoRA of {m.base}{m.rank ? `, rank ${m.rank}` : ''}</> : m.about}</span>
        </div>
        <div class="card-acts">
          {!m.installed && !busy && (
            <Button icon="download" kind="main" onClick={() => void pull(m.name)}>Fetch</Button>
          )}
          {live && <LoadButton m={m} live={live} />}
          {onRemove && <Button icon="trash" kind="quiet" label={`Delete ${m.name}`} onClick={onRemove} />}
        </div>
      </div>
      <p class="meta small">
        <span>{purposes[m.purpose] ?? m.purpose}</span>
        {!!m.parameters && <span>{parameters(m.parameters)} parameters</span>}
        {m.bytes > 0 && <span>{size(m.bytes)}</span>}
        {m.licence && <span>{m.licence === 'not stated' ? 'licence not stated' : m.licence}</span>}
      </p>
      {live && <LiveLine name={m.name} live={live} />}
      {live?.look && !live.of(m.name) && !m.base && <PlanLine name={m.name} />}
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
      <Button icon="retry" onClick={() => void pull(p.model, p.base)}>Try again</Button></p>
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
