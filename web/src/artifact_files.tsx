// The files of a version that is kept here, and which of them differ between two versions.
import { useMemo, useState } from 'preact/hooks'
import { call, callForFile } from './api'
import { saveAs } from './download'
import { count, fileName, size } from './format'
import { hasRows, Rows } from './rows_diff'
import { TextDiff } from './textdiff'
import type { ArtifactVersion, TreeFile } from './types'
import { Button, Failure, Icon, useLoad } from './ui'

const SHOWN = 100
const TEXT_MAX = 300_000 // bytes of a file that is compared line by line

/** A version with a source is kept there; its digest names nothing here. */
export const isKept = (v: ArtifactVersion): boolean => /^[0-9a-f]{64}$/.test(v.digest) && !v.source && !v.deleted

const filesOf = async (digest: string, signal?: AbortSignal): Promise<TreeFile[]> =>
  (await call('GET /api/v1/trees/{digest}', { params: { digest }, signal })).files

const fetchFile = (digest: string, path: string): Promise<Blob> =>
  callForFile('GET /api/v1/trees/{digest}/files/{path...}', { params: { digest, path } })

export const VersionFiles = ({ v }: { v: ArtifactVersion }) => <TreeFiles digest={v.digest} title="Files" />

/** The files of a tree, each to be saved. */
export function TreeFiles({ digest, title }: { digest: string; title?: string }) {
  const { data, error, reload } = useLoad((signal) => filesOf(digest, signal), [digest])
  const [all, setAll] = useState(false)
  const [failed, setFailed] = useState<Error | null>(null)
  const save = (path: string) => fetchFile(digest, path).then((b) => saveAs(b, fileName(path)), setFailed)
  return (
    <>
      {title && <h3 class="small-head">{title} {data && <span class="num">{data.length.toLocaleString('en')}</span>}</h3>}
      {error && <Failure error={error} retry={reload} />}
      {failed && <Failure error={failed} />}
      {data && (
        <ul class="files">
          {(all ? data : data.slice(0, SHOWN)).map((f) => (
            <li key={f.path}><div class="file">
              <Icon name="documents" /><span class="path">{f.path}</span>
              <span class="dim small num">{size(f.size)}</span>
              <Button kind="quiet" icon="download" label={`Download ${f.path}`} onClick={() => void save(f.path)} />
            </div></li>
          ))}
        </ul>
      )}
      {data && !all && data.length > SHOWN && (
        <p class="more"><Button onClick={() => setAll(true)}>Show all {count(data.length, 'file')}</Button></p>
      )}
    </>
  )
}

// ---- two versions

export interface FileChange { path: string; kind: 'added' | 'removed' | 'changed'; before?: TreeFile; after?: TreeFile }

export function changesOf(a: TreeFile[], b: TreeFile[]): FileChange[] {
  const left = new Map(a.map((f) => [f.path, f]))
  const right = new Map(b.map((f) => [f.path, f]))
  return [...new Set([...left.keys(), ...right.keys()])].sort().flatMap((path): FileChange[] => {
    const before = left.get(path)
    const after = right.get(path)
    if (!before) return [{ path, kind: 'added', after }]
    if (!after) return [{ path, kind: 'removed', before }]
    return before.sha256 === after.sha256 ? [] : [{ path, kind: 'changed', before, after }]
  })
}

export const FilesDiff = ({ a, b }: { a: ArtifactVersion; b: ArtifactVersion }) =>
  <TreesDiff a={a.digest} b={b.digest} names={[`Version ${a.version}`, `Version ${b.version}`]} />

/** Which files of two trees differ; texts line by line, tables row by row. */
export function TreesDiff({ a, b, names }: { a: string; b: string; names: [string, string] }) {
  const { data, error, reload } = useLoad((signal) => Promise.all([filesOf(a, signal), filesOf(b, signal)]), [a, b])
  const changes = useMemo(() => data && changesOf(data[0], data[1]), [data])
  const [open, setOpen] = useState<string | null>(null)
  const [all, setAll] = useState(false)
  if (error) return <Failure error={error} retry={reload} />
  if (!changes) return null
  const sign = { added: '+', removed: '−', changed: '≠' }
  const toggle = (key: string, what: string) => (
    <Button kind="quiet" aria-expanded={open === key} onClick={() => setOpen(open === key ? null : key)}>
      {open === key ? `Hide ${what}` : `Show ${what}`}</Button>
  )
  return (
    <div class="text-part">
      <h3 class="small-head">Files <span class="num">{changes.length} of {new Set(data!.flat().map((f) => f.path)).size} differ</span></h3>
      <ul class="files changes">
        {(all ? changes : changes.slice(0, SHOWN)).map((c) => {
          const text = [c.before, c.after].every((f) => !f || f.size <= TEXT_MAX)
          const rows = c.kind === 'changed' && hasRows(c.path)
          return (
            <li key={c.path} class={c.kind}>
              <div class="file">
                <span class="change-sign" aria-label={c.kind}>{sign[c.kind]}</span><span class="path">{c.path}</span>
                <span class="dim small num">{[c.before, c.after].filter(Boolean).map((f) => size(f!.size)).join(' → ')}</span>
                <span class="file-actions">
                  {rows && toggle(`rows ${c.path}`, 'rows')}
                  {text && toggle(`text ${c.path}`, 'lines')}
                </span>
              </div>
              {open === `text ${c.path}` && <OneFile a={a} b={b} names={names} c={c} />}
              {open === `rows ${c.path}` && <Rows a={a} b={b} path={c.path} />}
            </li>
          )
        })}
      </ul>
      {!all && changes.length > SHOWN && (
        <p class="more"><Button onClick={() => setAll(true)}>Show all {count(changes.length, 'file')}</Button></p>
      )}
    </div>
  )
}

function OneFile({ a, b, names, c }: { a: string; b: string; names: [string, string]; c: FileChange }) {
  const { data, error, reload } = useLoad(async () => {
    const read = async (digest: string, file: TreeFile | undefined) => {
      if (!file) return ''
      const bytes = await (await fetchFile(digest, c.path)).arrayBuffer()
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    }
    return Promise.all([read(a, c.before), read(b, c.after)]).catch((e) => {
      if (e instanceof TypeError) return null // no text
      throw e
    })
  }, [a, b, c.path])
  if (error) return <Failure error={error} retry={reload} />
  if (data === null) return <p class="dim small">Opening, or no text.</p>
  return <TextDiff before={data[0]} after={data[1]} names={names} />
}
