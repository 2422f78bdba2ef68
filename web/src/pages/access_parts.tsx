// What the tabs of the access page share.
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { Button, Dialog, Failure } from '../ui'

/** A dialog around a form: its fields, one action, its error. */
export function FormDialog({ title, action, onDo, onClose, children }: {
  title: string; action: string; onDo: () => Promise<unknown>; onClose: () => void
  children: ComponentChildren
}) {
  const [error, setError] = useState<Error | null>(null)
  const [busy, setBusy] = useState(false)
  const go = async () => {
    setBusy(true)
    setError(null)
    try {
      await onDo()
      onClose()
    } catch (e) {
      setError(e as Error)
      setBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose} actions={<>
      <Button onClick={onClose}>Cancel</Button>
      <Button kind="main" disabled={busy} onClick={go}>{action}</Button>
    </>}>
      <form class="fields" onSubmit={(e) => { e.preventDefault(); void go() }}>
        {children}
        <button type="submit" hidden />
      </form>
      {error && <Failure error={error} />}
    </Dialog>
  )
}
