// One version: what it is, what is said of it, what can be changed.
import { useState } from 'preact/hooks'
import { call } from './api'
import { isKept, VersionFiles } from './artifact_files'
import { fullTime, size } from './format'
import { Promotion } from './promotion'
import { href } from './router'
import type { ArtifactVersion } from './types'
import { Button, Facts, Failure } from './ui'
import { ValueView } from './value'

export function VersionDetail({ v, aliases, onChange, past }: {
  v: ArtifactVersion; aliases: string[]; onChange: () => void; past: boolean
}) {
  const tags = Object.entries(v.tags)
  return (
    <section class="detail" aria-label={`Version ${v.version}`}>
      <h2>Version {v.version}</h2>
      <Description key={`d${v.version}`} v={v} onChange={onChange} past={past} />
      <Facts rows={[
        ['Reference', <code>{v.kind}/{v.name}:{v.version}</code>],
        ['Digest', v.digest ? <span class="hash">{v.digest}</span> : '–'],
        ['Source', v.source ? <span class="path">{v.source}</span> : '–'],
        ['Size', v.bytes ? size(v.bytes) : '–'],
        ['Created', `${fullTime(v.created)}, by ${v.creator}`],
        ['Run', v.run ? <a class="hash" href={href('run', { id: v.run })}>{v.run}</a> : '–'],
      ]} />
      <Tags key={`t${v.version}`} v={v} tags={tags} onChange={onChange} past={past} />
      <Promotion key={`p${v.version}`} v={v} aliases={aliases} past={past} />
      {isKept(v) && <VersionFiles key={`f${v.version}`} v={v} />}
      {Object.keys(v.metadata).length > 0 && <ValueView title="Metadata" value={v.metadata} />}
    </section>
  )
}

function Description({ v, onChange, past }: { v: ArtifactVersion; onChange: () => void; past: boolean }) {
  const [text, setText] = useState<string | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const params = { kind: v.kind, name: v.name, version: String(v.version) }
  const save = async () => {
    try {
      await call('PATCH /api/v1/artifacts/{kind}/{name}/versions/{version}',
        { params, body: { description: text ?? '' } })
      setText(null)
      setError(null)
      onChange()
    } catch (e) {
      setError(e as Error)
    }
  }
  if (text === null)
    return (
      <p class="lead">
        {v.description || <span class="dim">No description.</span>}{' '}
        {!past && <button type="button" class="link small" onClick={() => setText(v.description)}>Edit</button>}
      </p>
    )
  return (
    <form class="inline-form" onSubmit={(e) => { e.preventDefault(); void save() }}>
      <textarea rows={3} value={text} aria-label="Description" ref={(e) => { e?.focus() }}
        onInput={(e) => setText(e.currentTarget.value)} />
      <div class="actions">
        <Button kind="main" type="submit">Save</Button>
        <Button onClick={() => { setText(null); setError(null) }}>Cancel</Button>
      </div>
      {error && <Failure error={error} />}
    </form>
  )
}

function Tags({ v, tags, onChange, past }: {
  v: ArtifactVersion; tags: [string, unknown][]; onChange: () => void; past: boolean
}) {
  const [adding, setAdding] = useState<{ key: string; value: string } | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const go = async (work: Promise<unknown>) => {
    try {
      await work
      setAdding(null)
      setError(null)
      onChange()
    } catch (e) {
      setError(e as Error)
    }
  }
  const params = (key: string) => ({ kind: v.kind, name: v.name, key })
  const remove = (key: string) => go(call('DELETE /api/v1/artifacts/{kind}/{name}/tags/{key}',
    { params: params(key), query: { version: v.version } }))
  const add = () => adding?.key.trim() && go(call('PUT /api/v1/artifacts/{kind}/{name}/tags/{key}',
    { params: params(adding.key.trim()), query: { version: v.version }, body: { value: adding.value } }))
  return (
    <>
      <h3 class="small-head">Tags</h3>
      <div class="chips tag-list">
        {tags.map(([k, value]) => (
          <span key={k} class="chip" title={`${k}: ${value}`}>
            <span class="chip-text">{k}<span class="dim">{value === '' ? '' : `: ${value}`}</span></span>
            {!past && <Button kind="quiet" icon="close" label={`Remove the tag ${k}`} onClick={() => void remove(k)} />}
          </span>
        ))}
        {!tags.length && past && <span class="dim">None.</span>}
        {!past && !adding && <Button kind="quiet" onClick={() => setAdding({ key: '', value: '' })}>Add a tag</Button>}
        {adding && (
          <form class="tag-form" onSubmit={(e) => { e.preventDefault(); void add() }}>
            <input aria-label="Tag" placeholder="tag" value={adding.key} ref={(e) => { if (e && document.activeElement === document.body) e.focus() }}
              onInput={(e) => setAdding({ ...adding, key: e.currentTarget.value })} />
            <input aria-label="Value" placeholder="value" value={adding.value}
              onInput={(e) => setAdding({ ...adding, value: e.currentTarget.value })} />
            <Button kind="main" type="submit">Set</Button>
            <Button icon="close" label="Cancel" onClick={() => setAdding(null)} />
          </form>
        )}
      </div>
      {error && <Failure error={error} />}
    </>
  )
}
