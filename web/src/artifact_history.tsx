// Where aliases pointed, on a time line; every fact below it; and moving an alias.
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Times } from './pages/artifact'
import { call } from './api'
import { aliasLanes, brokeGlass, factText, heldAt, type Lane } from './facts'
import { fullTime, when } from './format'
import { usePages } from './list'
import { Requirements, useGate } from './promotion'
import type { Artifact, ArtifactFact, ArtifactVersion } from './types'
import { Badge, Button, Confirm, Dialog, Failure, Field, Note, useLoad, useSettled } from './ui'

type Put = (changes: Record<string, string | null>) => void

const ALIAS_FACTS = 1000

export function History({ artifact, at, put, onChange }: {
  artifact: Artifact; at: Times; put: Put; onChange: () => void
}) {
  const params = { kind: artifact.kind, name: artifact.name }
  const moves = useLoad(async (signal) => {
    // facts that take back others carry the same what and key
    const r = await call('GET /api/v1/artifacts/{kind}/{name}/history',
      { params, query: { what: 'alias', limit: ALIAS_FACTS }, signal })
    return r.facts
  }, [artifact.kind, artifact.name, artifact.updated, JSON.stringify(artifact.aliases)])
  const known = at.known_at ? Date.parse(at.known_at) : null
  const lanes = moves.data ? aliasLanes(moves.data, known) : []
  return (
    <>
      {moves.error && <Failure error={moves.error} retry={moves.reload} />}
      {lanes.length > 0
        ? <TimeLine lanes={lanes} from={Date.parse(artifact.created)} at={at} put={put} />
        : moves.data && <p class="dim">No alias has pointed at a version yet.</p>}
      {moves.data?.length === ALIAS_FACTS && <p class="dim small">The newest {ALIAS_FACTS.toLocaleString('en')} moves are drawn; the list below has all.</p>}
      <FactList artifact={artifact} onChange={() => { moves.reload(); onChange() }} />
    </>
  )
}

// ---- the time line

function TimeLine({ lanes, from, at, put }: { lanes: Lane[]; from: number; at: Times; put: Put }) {
  const now = Date.now()
  const starts = lanes.flatMap((l) => l.stretches.map((s) => s.from))
  const first = Math.min(from, ...starts)
  const span = Math.max(now - first, 1000)
  const pct = (t: number) => ((t - first) / span) * 100
  const marked = at.as_of ? Date.parse(at.as_of) : null
  const ticks = [0, 0.25, 0.5, 0.75, 1]
  const go = (e: MouseEvent) => {
    const r = (e.currentTarget as HTMLElement).getBoundingClientRect()
    const t = first + ((e.clientX - r.left) / r.width) * span
    put({ as_of: t >= now - span * 0.004 ? null : new Date(t).toISOString() })
  }
  return (
    <section class="lanes" aria-label="Aliases over time">
      {lanes.map((lane) => {
        const held = heldAt(lane, marked ?? now)
        return (
          <div key={lane.alias} class="lane">
            <span class="lane-name"><span class="alias">{lane.alias}</span>
              <span class="dim small num">{held?.version ? `version ${held.version}` : 'nowhere'}</span></span>
            <div class="lane-track" onClick={go}>
              {lane.stretches.filter((s) => s.version !== null).map((s) => (
                <button key={s.fact.seq} type="button"
                  class={`stretch hue${s.version! % 6} ${brokeGlass(s.fact) ? 'broken' : ''}`}
                  style={{ left: `${pct(s.from)}%`, width: `max(3px, ${pct(s.to ?? now) - pct(s.from)}%)` }}
                  title={`${lane.alias}: version ${s.version} from ${fullTime(s.fact.valid)}${s.to ? ` to ${fullTime(new Date(s.to).toISOString())}` : ''}, by ${s.fact.by}${s.fact.reason && `: ${s.fact.reason}`}${brokeGlass(s.fact) ? ' (glass broken)' : ''}`}
                  onClick={(e) => { if (!e.detail) { e.stopPropagation(); put({ as_of: s.fact.valid }) } }}>
                  <span>{brokeGlass(s.fact) ? '! ' : ''}{s.version}</span>
                </button>
              ))}
            </div>
          </div>
        )
      })}
      <div class="lane lane-axis" aria-hidden="true">
        <span />
        <div class="lane-ticks small dim num">
          {ticks.map((f) => (
            <span key={f} style={{ left: `${f * 100}%` }}>
              {f === 1 ? 'now' : tick(first + f * span, span)}
            </span>
          ))}
          {marked !== null && marked >= first && <span class="lane-mark" style={{ left: `${pct(marked)}%`, height: `${lanes.length * 38 + 4}px` }} />}
        </div>
      </div>
    </section>
  )
}

const DAY = 86_400_000
function tick(t: number, span: number): string {
  const d = new Date(t)
  if (span > 300 * DAY) return new Intl.DateTimeFormat('en-GB', { month: 'short', year: 'numeric' }).format(d)
  if (span > 3 * DAY) return new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' }).format(d)
  return new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: span < 600_000 ? '2-digit' : undefined }).format(d)
}

// ---- the facts

function FactList({ artifact, onChange }: { artifact: Artifact; onChange: () => void }) {
  const params = { kind: artifact.kind, name: artifact.name }
  const [taking, setTaking] = useState<ArtifactFact | null>(null)
  const list = usePages(async (after, signal) => {
    const r = await call('GET /api/v1/artifacts/{kind}/{name}/history', { params, signal,
      query: { limit: 50, before: after === undefined ? undefined : Number(after) } })
    return { items: r.facts.map((f) => ({ ...f, id: String(f.seq) })), next: r.next === null ? null : String(r.next) }
  }, [artifact.kind, artifact.name, artifact.updated, JSON.stringify(artifact.aliases)])
  const taken = new Set((list.items ?? []).map((f) => f.retracts))
  return (
    <section class="facts-list">
      <h2>Facts</h2>
      <p class="dim small">Newest record first. Nothing here is ever changed; what was wrong is taken back by another fact.</p>
      {list.error && <Failure error={list.error} retry={list.refresh} />}
      <ol>
        {(list.items ?? []).map((f) => (
          <li key={f.seq} class={taken.has(f.seq) ? 'taken' : ''}>
            <span class="num dim fact-n">{f.seq}</span>
            <div>
              <span class="fact-text">{factText(f)}</span>{' '}
              {brokeGlass(f) && <Badge kind="error">glass broken</Badge>}
              {f.reason && <span class="fact-reason">“{f.reason}”</span>}
              <span class="dim small">
                <span title={fullTime(f.recorded)}>{when(f.recorded)}</span>, by {f.by}
                {Math.abs(Date.parse(f.valid) - Date.parse(f.recorded)) > 1000 && <>, <b>valid since {fullTime(f.valid)}</b></>}
                {taken.has(f.seq) && ', taken back'}
              </span>
            </div>
            {(f.what === 'alias' || f.what === 'tag') && f.retracts === null && !taken.has(f.seq) && (
              <Button kind="quiet" onClick={() => setTaking(f)}>Take back</Button>
            )}
          </li>
        ))}
      </ol>
      {list.more && <p class="more"><Button onClick={list.more}>Show older facts</Button></p>}
      {taking && <Retract fact={taking} params={params} onClose={() => setTaking(null)}
        onDone={() => { list.refresh(); onChange() }} />}
    </section>
  )
}

function Retract({ fact, params, onClose, onDone }: {
  fact: ArtifactFact; params: { kind: string; name: string }; onClose: () => void; onDone: () => void
}) {
  const [reason, setReason] = useState('')
  return (
    <Confirm title="Take this fact back?" action="Take back" onClose={onClose} onYes={async () => {
      if (!reason.trim()) throw new Error('Say why: the reason is kept for ever.')
      await call('POST /api/v1/artifacts/{kind}/{name}/history/{seq}/retract',
        { params: { ...params, seq: String(fact.seq) }, body: { reason: reason.trim() } })
      onDone()
    }}>
      <p>{factText(fact)}. It stays in the history, and no longer counts from now on.</p>
      <Field label="Why it was wrong"><input value={reason} onInput={(e) => setReason(e.currentTarget.value)} /></Field>
    </Confirm>
  )
}

// ---- moving an alias

export function AliasDialog({ artifact, versions, version, onClose, onDone }: {
  artifact: Artifact; versions: ArtifactVersion[]; version: number; onClose: () => void; onDone: () => void
}) {
  const [alias, setAlias] = useState(artifact.aliases[0]?.alias ?? '')
  const [to, setTo] = useState(version)
  const [reason, setReason] = useState('')
  const [since, setSince] = useState('')
  const [error, setError] = useState<Error | null>(null)
  const [busy, setBusy] = useState(false)
  const first = useRef<HTMLInputElement>(null)
  useEffect(() => first.current?.select(), [])
  const now = artifact.aliases.find((a) => a.alias === alias.trim())
  const params = { kind: artifact.kind, name: artifact.name, alias: alias.trim() }
  const run = async (work: () => Promise<unknown>) => {
    setBusy(true)
    try {
      await work()
      onDone()
      onClose()
    } catch (e) {
      setError(e as Error)
      setBusy(false)
    }
  }
  const gate = useGate(artifact, to, useSettled(alias.trim()))
  const [breaking, setBreaking] = useState(false)
  const shut = gate.data !== null && gate.data.alias === alias.trim() && !gate.data.open
  const move = () => run(async () => {
    if (!alias.trim()) throw new Error('Which alias? Type its name, for instance prod.')
    if (breaking && !reason.trim()) throw new Error('Say why the glass has to be broken: it is recorded and shown.')
    return call('PUT /api/v1/artifacts/{kind}/{name}/aliases/{alias}', { params, body: {
      version: to, reason: reason.trim() || undefined,
      break_glass: (shut && breaking) || undefined,
      valid: since ? new Date(since).toISOString() : undefined,
    } })
  })
  const remove = () => run(() => call('DELETE /api/v1/artifacts/{kind}/{name}/aliases/{alias}',
    { params, query: { reason: reason.trim() || undefined } }))
  return (
    <Dialog title="Move an alias" onClose={onClose} actions={<>
      <Button onClick={onClose}>Cancel</Button>
      {now && <Button kind="danger" disabled={busy} onClick={remove}>Take {now.alias} away</Button>}
      <Button kind={shut && breaking ? 'danger' : 'main'} icon={shut && breaking ? 'warn' : undefined}
        disabled={busy || (shut && !breaking)} onClick={move}>
        {shut && breaking ? `Break the glass: ${alias.trim()} to version ${to}` : now ? `Move to version ${to}` : `Point at version ${to}`}
      </Button>
    </>}>
      <form class="dialog-form" onSubmit={(e) => { e.preventDefault(); void move() }}>
        <Field label="Alias">
          <input ref={first} data-first list="aliases" value={alias} onInput={(e) => setAlias(e.currentTarget.value)} />
        </Field>
        <datalist id="aliases">{artifact.aliases.map((a) => <option key={a.alias} value={a.alias} />)}</datalist>
        <Field label="Version">
          <select value={String(to)} onChange={(e) => setTo(Number(e.currentTarget.value))}>
            {versions.map((v) => (
              <option key={v.version} value={String(v.version)}>
                {v.version}{v.description ? ` – ${v.description.slice(0, 40)}` : ''}
              </option>
            ))}
          </select>
        </Field>
        <div class="wide"><Field label="Why"><input value={reason} onInput={(e) => setReason(e.currentTarget.value)} /></Field></div>
        <div class="wide"><Field label="Since (empty: now)">
          <input type="datetime-local" step={1} value={since} onChange={(e) => setSince(e.currentTarget.value)} />
        </Field></div>
        <button type="submit" hidden />
      </form>
      <p class="dim small">{now
        ? `${now.alias} points at version ${now.version} since ${fullTime(now.since)}, by ${now.by}.`
        : 'A new alias.'} The move is a fact that stays; an earlier time corrects the past without hiding it.</p>
      {gate.data && gate.data.requirements.length > 0 && (
        <div class={`gate ${shut ? 'shut' : ''}`}>
          <p><strong>{shut ? `Not yet: ${alias.trim()} wants more of version ${to}.` : 'All that is wanted is there.'}</strong></p>
          <Requirements gate={gate.data} />
        </div>
      )}
      {shut && gate.data?.may_break_glass && (
        <label class="check"><input type="checkbox" checked={breaking} onChange={() => setBreaking(!breaking)} />
          Break the glass</label>
      )}
      {shut && breaking && (
        <Note kind="error" title="Everybody will see it.">
          {' '}The reason, your name and what was missing are recorded for ever and stand on this page.
        </Note>
      )}
      {error && <Failure error={error} />}
    </Dialog>
  )
}
