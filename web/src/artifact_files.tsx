// The files of a version that is kept here, and which of them differ between two versions.
import { useMemo, useState } from 'preact/hooks'
import { call, callForFile } from './api'
import { saveAs } from './download'
import { count, fileName, size } from './format'
import { TextDiff } from './textdiff'
import type { ArtifactVersion, TreeFile } from './types'
import { Button, Failure, Icon, useLoad } from './ui'

const SHOWN = 100
const TEXT_MAX = 300_000 // bytes of a file that is compared line by line

/** A version with a source is kept there; its digest names nothing here. */
export const isKept = (v: ArtifactVersion): boolean => /^[0-9a-f]{64}$/.test(v.digest) && !v.source && !v.deleted

const filesOf = async (v: ArtifactVersion, signal?: AbortSignal): Promise<TreeFile[]> =>
  (await call('GET /api/v1/trees/{digest}', { params: { digest: v.digest }, signal })).files

const fetchFile = (digest: string, path: string): Promise<Blob> =>
  callForFile('GET /api/v1/trees/{digest}/files/{path...}', { params: { digest, path } })

export function VersionFiles({ v }: { v: ArtifactVersion }) {
  const { data, error, reload } = useLoad((signal) => filesOf(v, signal), [v.digest])
  const [all, setAll] = useState(false)
  const [failed, setFailed] = useState<Error | null>(null)
  const save = (path: string) => fetchFile(v.digest, path).then((b) => saveAs(b, fileName(path)), setFailed)
  return (
    <>
      <h3 class="small-head">Files {data && <span class="num">{data.length.toLocaleString('en')}</span>}</h3>
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

export function FilesDiff({ a, b }: { a: ArtifactVersion; b: ArtifactVersion }) {
  const { data, error, reload } = useLoad((signal) => Promise.all([filesOf(a, signal), filesOf(b, signal)]), [a.digest, b.digest])
  const changes = useMemo(() => data && changesOf(data[0], data[1]), [data])
  const [open, setOpen] = useState<string | null>(null)
  if (error) return <Failure error={error} retry={reload} />
  if (!changes) return null
  const sign = { added: '+', removed: '−', changed: '≠' }
  return (
    <div class="text-part">
      <h3 class="small-head">Files <span class="num">{changes.length} of {Math.max(data![0].length, data![1].length)} differ</span></h3>
      <ul class="files changes">
        {changes.map((c) => {
          const text = [c.before, c.after].every((f) => !f || f.size <= TEXT_MAX)
          return (
            <li key={c.path} class={c.kind}>
              <div class="file">
                <span class="change-sign" aria-label={c.kind}>{sign[c.kind]}</span><span class="path">{c.path}</span>
                <span class="dim small num">{[c.before, c.after].filter(Boolean).map((f) => size(f!.size)).join(' → ')}</span>
                {text && <Button kind="quiet" aria-expanded={open === c.path} onClick={() => setOpen(open === c.path ? null : c.path)}>
                  {open === c.path ? 'Hide' : 'Show'}</Button>}
              </div>
              {open === c.path && <OneFile a={a} b={b} c={c} />}
            </li>
          )
        })}
      </ul>
    </div>
  )
}

function OneFile({ a, b, c }: { a: ArtifactVersion; b: ArtifactVersion; c: FileChange }) {
  const { data, error, reload } = useLoad(async () => {
    const read = async (digest: string, file: TreeFile | undefined) => {
      if (!file) return ''
      const bytes = await (await fetchFile(digest, c.path)).arrayBuffer()
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    }
    return Promise.all([read(a.digest, c.before), read(b.digest, c.after)]).catch((e) => {
      if (e instanceof TypeError) return null // no text
      throw e
    })
  }, [a.digest, b.digest, c.path])
  if (error) return <Failure error={error} retry={reload} />
  if (data === null) return <p class="dim small">Opening, or no text.</p>
  return <TextDiff before={data[0]} after={data[1]} names={[`Version ${a.version}`, `Version ${b.version}`]} />
}
