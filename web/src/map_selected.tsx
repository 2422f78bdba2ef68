// What a line on the map enclosed: shown, saved, tagged, labelled, made a version of a dataset.
import { useState } from 'preact/hooks'
import { call } from './api'
import { cancelJob, finished } from './bulk'
import { saveAs } from './download'
import { count } from './format'
import type { Collection, CollectionJob, CollectionMap } from './types'
import { Button, Dialog, Failure, Field, Progress, useLoad } from './ui'

type Id = number | string
type Point = { id: Id; payload?: Record<string, unknown> }
const LISTED = 50, AT_ONCE = 1000

const points = (k: Collection, ids: Id[], signal?: AbortSignal): Promise<Point[]> =>
  call('POST /collections/{collection}/points', { params: { collection: k.name }, body: { ids, with_payload: true }, signal })
    .then((r) => r.result as Point[])

export function Selected({ k, map, ids, onClose }: { k: Collection; map: CollectionMap; ids: Id[]; onClose: () => void }) {
  const [doing, setDoing] = useState<'tag' | 'label' | 'dataset' | null>(null), [error, setError] = useState<Error | null>(null)
  const [said, setSaid] = useState(''), [saved, setSaved] = useState<number | null>(null)
  const { data, error: failed, reload } = useLoad((signal) => points(k, ids.slice(0, LISTED), signal), [k.name, ids.length, ids[0]])
  const save = async () => {
    const lines: string[] = []
    setError(null)
    for (let at = 0; at < ids.length; at += AT_ONCE) {
      setSaved(at / ids.length)
      for (const { id, payload } of await points(k, ids.slice(at, at + AT_ONCE)))
        lines.push(`${JSON.stringify({ id, payload: payload ?? {} })}\n`)
    }
    saveAs(new Blob(lines, { type: 'application/jsonl' }), `${k.name}-selected.jsonl`)
  }
  const end = (text: string) => {
    setDoing(null)
    setSaid(text)
    reload()
  }
  return (
    <section class="map-selected" aria-label="Selected items">
      <div class="toolbar">
        <strong role="status">{count(ids.length, 'item')} selected</strong>
        <Button icon="flag" onClick={() => setDoing('tag')}>Tag</Button>
        <Button icon="check" onClick={() => setDoing('label')}>Label</Button>
        <Button icon="registry" onClick={() => setDoing('dataset')}>Make dataset version</Button>
        <Button icon="download" disabled={saved !== null} onClick={() => void save().catch(setError).finally(() => setSaved(null))}>Save as JSONL</Button>
        <Button icon="close" kind="quiet" onClick={onClose}>Deselect</Button>
      </div>
      {saved !== null && ids.length > AT_ONCE && <Progress value={saved} label="Saving" />}
      {said && <p role="status">{said}</p>}
      {(error ?? failed) && <Failure error={(error ?? failed)!} retry={() => { setError(null); reload() }} />}
      {data && (
        <ul class="map-list">
          {data.map(({ id, payload: { text, ...rest } = {} }) => (
            <li key={id}>
              <code class="small">{String(id)}</code>{' '}
              {typeof text === 'string' ? <span class="clip">{text}</span> : <code class="small dim clip">{JSON.stringify(rest)}</code>}
            </li>
          ))}
          {ids.length > LISTED && <li class="dim small">and {count(ids.length - LISTED, 'more item')}</li>}
        </ul>
      )}
      {(doing === 'tag' || doing === 'label') && <SetField k={k} map={map} ids={ids} how={doing} onClose={() => setDoing(null)} onDone={end} />}
      {doing === 'dataset' && <ToDataset k={k} ids={ids} onClose={() => setDoing(null)} onDone={end} />}
    </section>
  )
}

/** A job that is begun and waited for; its progress, and a way to stop it. */
function useJob(k: Collection, begin: () => Promise<CollectionJob>, done: (job: CollectionJob) => void) {
  const [job, setJob] = useState<CollectionJob | null>(null), [error, setError] = useState<Error | null>(null)
  const [busy, setBusy] = useState(false)
  const run = async () => {
    setBusy(true)
    setError(null)
    try {
      done(await finished(k.name, await begin(), setJob))
    } catch (e) {
      setError(e as Error)
    }
    setJob(null)
    setBusy(false)
  }
  const at = job?.progress
  const shown = (
    <>
      {at && <Progress value={at.total ? Math.min(1, at.done / at.total) : null} label="How far it is" />}
      {at && <p class="small"><Button kind="quiet" icon="stop" onClick={() => void cancelJob(k.name, job!.id!).catch(setError)}>Stop</Button></p>}
      {error && <Failure error={error} />}
    </>
  )
  return { run, busy, shown }
}

interface Act { k: Collection; ids: Id[]; onClose: () => void; onDone: (said: string) => void }

/** A tag is any field and value; a label is one of the values that a field has already, or a new one. */
function SetField({ k, map, ids, how, onClose, onDone }: Act & { map: CollectionMap; how: 'tag' | 'label' }) {
  const fields = map.fields.filter((f) => f !== 'text')
  const [name, setName] = useState(how === 'tag' ? 'tag' : fields[0] ?? 'label'), [value, setValue] = useState('')
  const { data } = useLoad(async (signal) => (how === 'label' && map.fields.includes(name)
    ? call('GET /api/v1/collections/{name}/map/field', { params: { name: k.name }, query: { name }, signal }) : null), [how, name])
  const job = useJob(k, () => call('POST /api/v1/collections/{name}/bulk/set',
    { params: { name: k.name }, body: { field: name.trim(), value: value.trim(), ids } }),
  (j) => onDone(`${count(j.items, 'item')} ${how === 'tag' ? 'tagged' : 'labelled'}.`))
  const word = how === 'tag' ? 'Tag' : 'Label'
  return (
    <Dialog title={`${word} ${count(ids.length, 'item')}`} onClose={onClose} actions={
      <Button kind="main" icon="check" disabled={job.busy || !name.trim() || !value.trim()} onClick={() => void job.run()}>{word}</Button>}>
      <Field label={how === 'tag' ? 'Field of the payload' : 'Field of the label'}>
        <input value={name} list="selected-fields" onInput={(e) => setName(e.currentTarget.value)} />
      </Field>
      <Field label={how === 'tag' ? 'Value' : 'Label'}>
        <input value={value} list="selected-values" onInput={(e) => setValue(e.currentTarget.value)} />
      </Field>
      <datalist id="selected-fields">{fields.map((f) => <option key={f} value={f} />)}</datalist>
      <datalist id="selected-values">{(data?.kind === 'category' ? data.categories : []).map((c) => <option key={c.value} value={c.value} />)}</datalist>
      {job.shown}
    </Dialog>
  )
}

function ToDataset({ k, ids, onClose, onDone }: Act) {
  const [name, setName] = useState(`${k.name}-selected`), [vectors, setVectors] = useState(false)
  const job = useJob(k, () => call('POST /api/v1/collections/{name}/bulk/dataset',
    { params: { name: k.name }, body: { dataset: name.trim(), ids, vectors, description: 'Selected on the map' } }),
  (j) => onDone(`dataset/${j.dataset!.name}:${j.dataset!.version} with ${count(j.dataset!.rows, 'row')}.`))
  return (
    <Dialog title={`A dataset of ${count(ids.length, 'item')}`} onClose={onClose} actions={
      <Button kind="main" icon="check" disabled={job.busy || !name.trim()} onClick={() => void job.run()}>Make</Button>}>
      <Field label="Dataset"><input value={name} onInput={(e) => setName(e.currentTarget.value)} /></Field>
      <label class="small"><input type="checkbox" checked={vectors} onChange={(e) => setVectors(e.currentTarget.checked)} /> with vectors</label>
      {job.shown}
    </Dialog>
  )
}
