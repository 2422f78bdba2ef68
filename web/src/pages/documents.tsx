import { useState } from 'preact/hooks'
import { call } from '../api'
import { count, fileName, fullTime, size, when } from '../format'
import { usePages } from '../list'
import { href, navigate, usePlace, withQuery } from '../router'
import { useStore } from '../store'
import { Badge, Button, Choice, Empty, Failure, Icon, Note, PageHead, documentTypes, useEvery,
  useSettled } from '../ui'
import { changedDocuments, documentsChanged, pickFiles } from '../uploads'
import { DeleteDocument } from './document'
import type { Document } from '../types'

const states = [['', 'All'], ['indexed', 'Indexed'], ['failed', 'Failed']] as const

export function DocumentsPage() {
  const { query } = usePlace()
  const changed = useStore(documentsChanged)
  const [q, setQ] = useState(query.get('q') ?? '')
  const settled = useSettled(q)
  const status = (query.get('status') ?? '') as (typeof states)[number][0]
  const type = query.get('type') ?? ''
  const [deleting, setDeleting] = useState<Document | null>(null)
  const list = usePages(async (after, signal) => {
    const r = await call('GET /api/v1/documents',
      { query: { q: settled, status, type, limit: 100, after }, signal })
    return { ...r, items: r.documents }
  }, [settled, status, type, changed])
  useEvery(5000, list.refresh) // others add files too, from a terminal or another page
  const put = (name: string, value: string) =>
    navigate(withQuery({ [name]: value }), { replace: true })
  const filtered = !!(settled || status || type)
  const first = list.first
  return (
    <>
      <PageHead title="Documents" sub={first && !filtered
        ? <>{count(first.total, 'document')}{first.failed > 0 && `, ${first.failed} of them failed`}</>
        : first && `${count(first.total, 'document')} found`}>
        <Button icon="upload" kind="main" onClick={pickFiles}>Add files</Button>
      </PageHead>
      {first && first.failed > 0 && status !== 'failed' && (
        <Note kind="warn" title={`${count(first.failed, 'file')} could not be read.`}>
          {' '}<a href={withQuery({ status: 'failed' })}>See which, and why</a>
        </Note>
      )}
      <div class="toolbar">
        <input type="search" value={q} placeholder="Find by path or title" aria-label="Find documents"
          onInput={(e) => setQ(e.currentTarget.value)} />
        <Choice label="Status" value={status} options={states} onChange={(v) => put('status', v)} />
        <select value={type} aria-label="Type" onChange={(e) => put('type', e.currentTarget.value)}>
          <option value="">Any type</option>
          {documentTypes.map((t) => <option key={t} value={t}>{t}</option>)}
        </select>
      </div>
      {list.error && <Failure error={list.error} retry={list.refresh} />}
      {list.items && !list.items.length && (filtered
        ? <Empty title="No document fits"><p>Change the filters above.</p></Empty>
        : (
          <Empty title="Nothing here yet">
            <p>Drop files anywhere on this page, or index a folder from a terminal:</p>
            <p><code>croft ingest FOLDER</code></p>
          </Empty>
        ))}
      {list.items && list.items.length > 0 && (
        <div class="table-frame">
          <table class="rows documents-table">
            <thead>
              <tr><th>Document</th><th>Type</th><th>Status</th><th class="n">Pages</th>
                <th class="n">Passages</th><th class="n">Size</th><th>Updated</th>
                <th><span class="sr">Actions</span></th></tr>
            </thead>
            <tbody>
              {list.items.map((d) => <Row key={d.id} d={d} onDelete={() => setDeleting(d)} />)}
            </tbody>
          </table>
        </div>
      )}
      {list.more && <p class="more"><Button onClick={list.more}>Show more</Button></p>}
      {deleting && (
        <DeleteDocument document={deleting} onClose={() => setDeleting(null)}
          onDeleted={changedDocuments} />
      )}
    </>
  )
}

function Row({ d, onDelete }: { d: Document; onDelete: () => void }) {
  return (
    <tr class={d.status}>
      <td class="main-cell">
        <a href={href('document', { id: d.id })}>{d.title || fileName(d.path)}</a>
        <span class="dim small path">{d.path}</span>
        {d.error && <span class="reason small"><Icon name="warn" /> {d.error.message}</span>}
        {d.tags.length > 0 && <span class="tags">{d.tags.map((t) => <Badge key={t}>{t}</Badge>)}</span>}
      </td>
      <td data-name="Type"><Badge>{d.type}</Badge></td>
      <td data-name="Status"><StatusOf d={d} /></td>
      <td data-name="Pages" class="n">{d.pages || '–'}</td>
      <td data-name="Passages" class="n">{d.chunks || '–'}</td>
      <td data-name="Size" class="n">{size(d.bytes)}</td>
      <td data-name="Updated" title={fullTime(d.updated)}>{when(d.updated)}</td>
      <td class="act">
        <Button icon="trash" kind="quiet" label={`Delete ${d.title || d.path}`} onClick={onDelete} />
      </td>
    </tr>
  )
}

export function StatusOf({ d }: { d: Document }) {
  return (
    <span class={`state ${d.status}`}>
      <span class="dot" aria-hidden="true" />{d.status}
      {d.warnings.length > 0 && (
        <span class="dim" title={d.warnings.join('\n')}> · {count(d.warnings.length, 'warning')}</span>
      )}
    </span>
  )
}
