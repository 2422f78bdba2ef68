// The files of a run, folder by folder.
import { useState } from 'preact/hooks'
import { call, callForFile } from './api'
import { saveAs } from './download'
import { fileName, size } from './format'
import { Button, Failure, Icon, useLoad } from './ui'

interface File { path: string; is_dir: boolean; file_size?: number }

export const filesIn = async (run: string, path: string, signal?: AbortSignal): Promise<File[]> => {
  const r = await call('GET /api/2.0/mlflow/artifacts/list', { query: { run_id: run, path: path || undefined }, signal })
  return (r['files'] as File[] | undefined) ?? []
}

export const fileOf = (experiment: string, run: string, path: string): Promise<Blob> =>
  callForFile('GET /api/2.0/mlflow-artifacts/artifacts/{path...}', { params: { path: `${experiment}/${run}/artifacts/${path}` } })

export function RunFiles({ experiment, run }: { experiment: string; run: string }) {
  const [folder, setFolder] = useState('')
  const [failed, setFailed] = useState<Error | null>(null)
  const { data, error, reload } = useLoad((signal) => filesIn(run, folder, signal), [run, folder])
  const save = async (path: string) => {
    try {
      saveAs(await fileOf(experiment, run, path), fileName(path))
      setFailed(null)
    } catch (e) {
      setFailed(e as Error)
    }
  }
  const parts = folder.split('/').filter(Boolean)
  return (
    <section aria-label="Files">
      <h2>Files</h2>
      {parts.length > 0 && (
        <p class="crumb">
          <button type="button" class="link" onClick={() => setFolder('')}>all</button>
          {parts.map((name, i) => (
            <span key={i}> › {i === parts.length - 1 ? name
              : <button type="button" class="link" onClick={() => setFolder(parts.slice(0, i + 1).join('/'))}>{name}</button>}</span>
          ))}
        </p>
      )}
      {error && <Failure error={error} retry={reload} />}
      {failed && <Failure error={failed} />}
      {data && !data.length && <p class="dim">{folder ? 'Nothing in here.' : 'This run has no files.'}</p>}
      {data && data.length > 0 && (
        <ul class="files">
          {data.map((f) => (
            <li key={f.path}>
              {f.is_dir ? (
                <button type="button" class="file" onClick={() => setFolder(f.path)}>
                  <Icon name="right" /><span class="path">{fileName(f.path)}</span><span class="dim small">folder</span>
                </button>
              ) : (
                <div class="file">
                  <Icon name="documents" /><span class="path">{fileName(f.path)}</span>
                  <span class="dim small num">{size(f.file_size ?? 0)}</span>
                  <Button kind="quiet" icon="download" label={`Download ${fileName(f.path)}`} onClick={() => void save(f.path)} />
                </div>
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
