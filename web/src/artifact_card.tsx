// What is known of a version, section by section: measured (and where), claimed (and by whom), missing.
import { useState } from 'preact/hooks'
import { call, callForFile } from './api'
import { saveAs } from './download'
import { fullTime, size } from './format'
import { href } from './router'
import type { ArtifactVersion, Card, CardField } from './types'
import { Badge, Button, Failure, Note, Progress, useLoad } from './ui'

const pathOf = (v: ArtifactVersion) => ({ kind: v.kind, name: v.name, version: String(v.version) })

export function CardView({ v, past }: { v: ArtifactVersion; past: boolean }) {
  const { data, error, reload } = useLoad((signal) =>
    call('GET /api/v1/artifacts/{kind}/{name}/versions/{version}/card', { params: pathOf(v), signal }),
  [v.kind, v.name, v.version])
  if (error) return <Failure error={error} retry={reload} />
  if (!data) return <p class="dim">Measuring …</p>
  return (
    <section class="card-page" aria-label={`Card of version ${v.version}`}>
      <div class="card-page-head">
        <h2>Card of version {v.version}</h2>
        <Exports v={v} />
      </div>
      {past && <p class="dim small">A card is made now, from what is known now.</p>}
      <ul class="card-sums">
        {data.sections.map((s) => (
          <li key={s.name}><a href={`#card-${s.name}`} onClick={(e) => {
            e.preventDefault()
            document.getElementById(`card-${s.name}`)?.scrollIntoView({ behavior: 'smooth' })
          }}>{s.title}</a>
            <Progress value={s.of ? s.filled / s.of : 0} label={`${s.title}: ${s.filled} of ${s.of}`} />
            <span class="dim small">{s.filled} of {s.of}</span></li>
        ))}
      </ul>
      {data.sections.map((s) => <Section key={s.name} v={v} section={s} onChange={reload} past={past} />)}
      <Signatures key={v.version} v={v} />
    </section>
  )
}

function Exports({ v }: { v: ArtifactVersion }) {
  const [error, setError] = useState<Error | null>(null)
  const forms: ['markdown' | 'cyclonedx' | 'croissant', string, string][] = [['markdown', 'Markdown', 'md'], ['cyclonedx', 'ML-BOM', 'cdx.json']]
  if (v.kind === 'dataset' && v.digest) forms.push(['croissant', 'Croissant', 'croissant.json'])
  // not a link: with a key the browser cannot fetch one by itself
  const save = (format: (typeof forms)[number][0], end: string) =>
    callForFile('GET /api/v1/artifacts/{kind}/{name}/versions/{version}/card', { params: pathOf(v), query: { format } })
      .then((b) => saveAs(b, `${v.name}-${v.version}.${end}`), setError)
  return (
    <div class="actions">
      {forms.map(([format, title, end]) => (
        <Button key={format} icon="download" onClick={() => void save(format, end)}>{title}</Button>
      ))}
      {error && <Failure error={error} />}
    </div>
  )
}

type SectionData = Card['sections'][number]

function Section({ v, section, onChange, past }: {
  v: ArtifactVersion; section: SectionData; onChange: () => void; past: boolean
}) {
  return (
    <>
      <h3 class="small-head" id={`card-${section.name}`}>{section.title}</h3>
      <div class="table-frame">
        <table class="rows card-table">
          <thead class="sr"><tr><th>Field</th><th>State</th><th>Value</th></tr></thead>
          <tbody>
            {section.fields.map((f) => <Row key={f.key} v={v} f={f} onChange={onChange} past={past} />)}
          </tbody>
        </table>
      </div>
    </>
  )
}

/** Where a measurement is: a run can be opened. */
function From({ from }: { from: string }) {
  if (from.startsWith('run:')) return <a class="hash" href={href('run', { id: from.slice(4) })}>run {from.slice(4, 16)}</a>
  const [where, what] = from.split(/:(.*)/s)
  return <span>{where}{what ? <> <code>{what}</code></> : null}</span>
}

function Row({ v, f, onChange, past }: { v: ArtifactVersion; f: CardField; onChange: () => void; past: boolean }) {
  const [text, setText] = useState<string | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const params = { ...pathOf(v), field: f.key }
  const go = async (work: Promise<unknown>) => {
    try {
      await work
      setText(null)
      setError(null)
      onChange()
    } catch (e) {
      setError(e as Error)
    }
  }
  const claim = '/api/v1/artifacts/{kind}/{name}/versions/{version}/card/{field}' as const
  return (
    <tr class={`card-${f.state}`}>
      <th scope="row">{f.title}</th>
      <td><Badge kind={f.state === 'measured' ? 'good' : f.state === 'claim' ? 'warn' : undefined}>{f.state}</Badge></td>
      <td>
        {text === null ? (
          <>
            {f.value !== null && <span class="card-value">{f.value}</span>}
            {f.state === 'measured' && <span class="dim small"> from <From from={f.from!} /></span>}
            {f.state === 'claim' && <span class="dim small"> by {f.by}, {f.time ? fullTime(f.time) : ''}</span>}
            {f.claim !== null && f.claim !== f.value && (
              <span class="small card-otherwise"> {f.by} claims: {f.claim}</span>
            )}
            {!past && f.state !== 'measured' && (
              <>{' '}<button type="button" class="link small" aria-label={`Write ${f.title}`}
                onClick={() => setText(f.value ?? '')}>{f.state === 'claim' ? 'Edit' : 'Write'}</button></>
            )}
          </>
        ) : (
          <form class="inline-form" onSubmit={(e) => {
            e.preventDefault()
            void go(text.trim()
              ? call(`PUT ${claim}`, { params, body: { value: text } })
              : call(`DELETE ${claim}`, { params }))
          }}>
            <textarea rows={2} value={text} aria-label={f.title} ref={(e) => { if (e && document.activeElement === document.body) e.focus() }}
              onInput={(e) => setText(e.currentTarget.value)} />
            <div class="actions">
              <Button kind="main" type="submit">Save</Button>
              <Button onClick={() => { setText(null); setError(null) }}>Cancel</Button>
            </div>
          </form>
        )}
        {error && <Failure error={error} />}
      </td>
    </tr>
  )
}

// ---- signatures

function Signatures({ v }: { v: ArtifactVersion }) {
  const { data, error, reload } = useLoad((signal) =>
    call('GET /api/v1/artifacts/{kind}/{name}/versions/{version}/signatures', { params: pathOf(v), signal }),
  [v.kind, v.name, v.version])
  const [verdict, setVerdict] = useState<{ ok: boolean; text: string } | null>(null)
  const [busy, setBusy] = useState(false)
  const verify = async () => {
    setBusy(true)
    try {
      const r = await call('POST /api/v1/artifacts/{kind}/{name}/versions/{version}/verify', { params: pathOf(v), body: {} })
      setVerdict({ ok: r.ok, text: r.ok ? `What is here is what was signed: ${r.files} files, ${size(r.bytes)}.` : `${r.problem}.` })
    } catch (e) {
      setVerdict({ ok: false, text: (e as Error).message })
    }
    setBusy(false)
  }
  if (error) return <Failure error={error} retry={reload} />
  return (
    <>
      <h3 class="small-head">Signatures</h3>
      {data && !data.signatures.length && (
        <p class="dim small">Not signed. <code>croft artifact sign {v.kind}/{v.name}:{v.version} --key FILE</code></p>
      )}
      {data && data.signatures.length > 0 && (
        <>
          <ul class="small">
            {data.signatures.map((s) => (
              <li key={s.key}>key <span class="hash">{s.key.slice(0, 16) || 'not named'}…</span> by {s.by}, {fullTime(s.created)}</li>
            ))}
          </ul>
          <p><Button onClick={() => void verify()} disabled={busy}>{busy ? 'Reading the files …' : 'Verify'}</Button></p>
        </>
      )}
      {verdict && <Note kind={verdict.ok ? 'plain' : 'error'}>{verdict.text}</Note>}
    </>
  )
}
