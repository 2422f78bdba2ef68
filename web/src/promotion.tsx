// What an alias wants of a version before it may point there: checks, and other people's approval.
import { useState } from 'preact/hooks'
import { call } from './api'
import { fullTime } from './format'
import type { ArtifactVersion, PromotionGate } from './types'
import { Button, Failure, Icon, useLoad, type Loaded } from './ui'

export const gatePath = (v: Pick<ArtifactVersion, 'kind' | 'name'>, version: number) =>
  ({ kind: v.kind, name: v.name, version: String(version) })

export function useGate(v: Pick<ArtifactVersion, 'kind' | 'name'>, version: number, alias: string): Loaded<PromotionGate | null> {
  return useLoad(async (signal) => alias
    ? call('GET /api/v1/artifacts/{kind}/{name}/versions/{version}/promotion',
      { params: gatePath(v, version), query: { alias }, signal })
    : null, [v.kind, v.name, version, alias])
}

/** `*` and `?` as the rules know them. */
export function fits(pattern: string, text: string): boolean {
  const body = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*').replace(/\?/g, '.')
  return new RegExp(`^${body}$`, 'su').test(text)
}

/** For each alias that rules watch over: what this version lacks. */
export function Promotion({ v, aliases, past }: { v: ArtifactVersion; aliases: string[]; past: boolean }) {
  const { data } = useLoad((signal) => call('GET /api/v1/promotion/rules', { signal }), [])
  const rules = (data?.rules ?? []).filter((r) => (r.kind === '*' || r.kind === v.kind) && fits(r.name, v.name))
  const named = rules.map((r) => r.alias).filter((a) => !/[*?]/.test(a))
  const watched = [...new Set([...named, ...aliases.filter((a) => rules.some((r) => fits(r.alias, a)))])].sort()
  if (!watched.length || past) return null
  return (
    <>
      <h3 class="small-head">Promotion</h3>
      <div class="gates">{watched.map((a) => <GateCard key={a} v={v} alias={a} />)}</div>
    </>
  )
}

function GateCard({ v, alias }: { v: ArtifactVersion; alias: string }) {
  const gate = useGate(v, v.version, alias)
  return (
    <div class="gate">
      <p><span class="alias">{alias}</span>{' '}
        {gate.data && <strong class={gate.data.open ? 'open' : 'shut'}>
          {v.aliases.includes(alias) ? 'points here' : gate.data.open ? 'may point here' : 'must not point here yet'}
        </strong>}</p>
      {gate.error && <Failure error={gate.error} retry={gate.reload} />}
      {gate.data && <Requirements gate={gate.data} />}
      {gate.data && <Approve v={v} gate={gate.data} onDone={gate.reload} />}
    </div>
  )
}

export function Requirements({ gate }: { gate: PromotionGate }) {
  if (!gate.requirements.length) return <p class="dim small">No rule watches over {gate.alias}.</p>
  return (
    <ul class="requirements">
      {gate.requirements.map((r, i) => (
        <li key={i} class={r.met ? 'met' : 'missing'}>
          <Icon name={r.met ? 'check' : 'close'} />
          <span><span class="sr">{r.met ? 'There: ' : 'Missing: '}</span>
            <b>{r.type === 'check' ? r.check : 'approval'}</b>{' '}
            <span class="dim">{r.why}</span></span>
        </li>
      ))}
    </ul>
  )
}

function Approve({ v, gate, onDone }: { v: ArtifactVersion; gate: PromotionGate; onDone: () => void }) {
  const [error, setError] = useState<Error | null>(null)
  const [note, setNote] = useState('')
  const params = { ...gatePath(v, v.version), alias: gate.alias }
  const go = async (work: Promise<unknown>) => {
    try {
      await work
      setError(null)
      setNote('')
      onDone()
    } catch (e) {
      setError(e as Error)
    }
  }
  return (
    <>
      {gate.approvals.map((f) => (
        <p key={f.seq} class="small dim">Approved by {f.by}, {fullTime(f.recorded)}{f.reason && `: “${f.reason}”`}</p>
      ))}
      {gate.requirements.some((r) => r.type === 'approval') && (
        <form class="tag-form" onSubmit={(e) => {
          e.preventDefault()
          void go(call('PUT /api/v1/artifacts/{kind}/{name}/versions/{version}/approvals/{alias}',
            { params, body: { note: note.trim() || undefined } }))
        }}>
          <input aria-label="Note" placeholder="note" value={note} onInput={(e) => setNote(e.currentTarget.value)} />
          <Button icon="check" type="submit">Approve</Button>
          {gate.approvals.length > 0 && (
            <Button kind="quiet" onClick={() => void go(call(
              'DELETE /api/v1/artifacts/{kind}/{name}/versions/{version}/approvals/{alias}', { params }))}>
              Take mine back
            </Button>
          )}
        </form>
      )}
      {error && <Failure error={error} />}
    </>
  )
}
