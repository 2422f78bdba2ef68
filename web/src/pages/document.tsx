import { useMemo, useState } from 'preact/hooks'
import { call } from '../api'
import { count, fullTime, size } from '../format'
import { DocumentView, content } from '../passage'
import { href, navigate, usePlace, withQuery } from '../router'
import { useStore } from '../store'
import { Badge, Button, Choice, Confirm, DownloadLink, Facts, Failure, Note, PageHead, useLoad,
  where } from '../ui'
import { changedDocuments, documentsChanged } from '../uploads'
import { StatusOf } from './documents'
import type { Chunk, Document } from '../types'

const tabs = [['passages', 'Passages'], ['text', 'Text'], ['details', 'Details']] as const
type Tab = (typeof tabs)[number][0]

export function DocumentPage({ id }: { id: string }) {
  const { query } = usePlace()
  const changed = useStore(documentsChanged)
  const { data: d, error, reload } = useLoad(
    (signal) => call('GET /api/v1/documents/{id}', { params: { id }, signal }), [id, changed])
  const [deleting, setDeleting] = useState(false)
  if (error) return <><PageHead title="Document" /><Failure error={error} retry={reload} /></>
  if (!d) return <PageHead title="Document" sub="Opening …" />
  const failed = d.status === 'failed'
  const tab = failed ? 'details' : ((query.get('tab') ?? 'passages') as Tab)
  return (
    <>
      <p class="crumb"><a href={href('documents')}>Documents</a></p>
      <PageHead title={d.title || d.path} sub={<><Badge>{d.type}</Badge> <span class="path">{d.path}</span></>}>
        <DownloadLink document={d} />
        <Button icon="trash" kind="danger" onClick={() => setDeleting(true)}>Delete</Button>
      </PageHead>
      {d.error && <Note kind="error" title="This file could not be read.">{' '}{d.error.message}</Note>}
      {!failed && (
        <Choice label="View" value={tab} options={tabs}
          onChange={(v) => navigate(withQuery({ tab: v, from: null, to: null }), { replace: true })} />
      )}
      {tab === 'passages' && <Passages d={d} />}
      {tab === 'text' && <TextTab d={d} />}
      {tab === 'details' && <Details d={d} />}
      {deleting && (
        <DeleteDocument document={d} onClose={() => setDeleting(false)}
          onDeleted={() => { navigate(href('documents'), { replace: true }); changedDocuments() }} />
      )}
    </>
  )
}

export function DeleteDocument({ document: d, onClose, onDeleted }: {
  document: Document; onClose: () => void; onDeleted: () => void
}) {
  return (
    <Confirm title="Delete this document?" action="Delete" onClose={onClose}
      onYes={async () => {
        await call('DELETE /api/v1/documents/{id}', { params: { id: d.id } })
        onDeleted()
      }}>
      <p><strong>{d.title || d.path}</strong><br /><span class="dim path">{d.path}</span></p>
      <p>It disappears from answers at once. The file that it came from stays where it is.</p>
    </Confirm>
  )
}

function Passages({ d }: { d: Document }) {
  const { data, error, reload } = useLoad(() => content(d.id), [d.id, d.version])
  const [limit, setLimit] = useState(100)
  if (error) return <Failure error={error} retry={reload} />
  if (!data) return <p class="dim">Opening …</p>
  return (
    <>
      <ol class="chunks">
        {data.chunks.slice(0, limit).map((c, i) => <ChunkRow key={c.id} c={c} n={i + 1} />)}
      </ol>
      {limit < data.chunks.length && (
        <p class="more"><Button onClick={() => setLimit(limit + 200)}>
          Show more ({data.chunks.length - limit} left)
        </Button></p>
      )}
    </>
  )
}

function ChunkRow({ c, n }: { c: Chunk; n: number }) {
  return (
    <li>
      <a href={withQuery({ tab: 'text', from: String(c.from), to: String(c.to) })}>
        <span class="chunk-head small">
          <strong class="num">{n}</strong>
          <span>{where(c.page, c.heading_path)}</span>
          <span class="dim num">{count(c.tokens, 'token')} · bytes {c.from}–{c.to}</span>
        </span>
        <span class="clip">{c.text}</span>
      </a>
    </li>
  )
}

function TextTab({ d }: { d: Document }) {
  const { query } = usePlace()
  const { data, error, reload } = useLoad(() => content(d.id), [d.id, d.version])
  const from = Number(query.get('from') ?? NaN)
  const to = Number(query.get('to') ?? NaN)
  const focus = useMemo(() => (from < to ? { from, to } : null), [from, to])
  if (error) return <Failure error={error} retry={reload} />
  if (!data) return <p class="dim">Opening …</p>
  return <div class="sheet"><DocumentView doc={data.view} focus={focus} /></div>
}

function Details({ d }: { d: Document }) {
  return (
    <>
      {d.warnings.length > 0 && (
        <Note kind="warn" title="Left out or mended while reading:">
          <ul>{d.warnings.map((w) => <li key={w}>{w}</li>)}</ul>
        </Note>
      )}
      <Facts rows={[
        ['Status', <StatusOf d={d} />],
        ['Size', `${size(d.bytes)} (${d.bytes.toLocaleString('en')} bytes)`],
        ['Pages', d.pages || '–'],
        ['Passages', d.chunks],
        ['Language', d.language || '–'],
        ['Author', d.author || '–'],
        ['Tags', d.tags.length ? d.tags.map((t) => <Badge key={t}>{t}</Badge>) : '–'],
        ['Collection', d.collection],
        ['Dated', fullTime(d.created)],
        ['Added', fullTime(d.added)],
        ['Updated', fullTime(d.updated)],
        ['Version', d.version],
        ['SHA-256', <code class="hash">{d.sha256}</code>],
        ['Id', <code class="hash">{d.id}</code>],
      ]} />
    </>
  )
}
