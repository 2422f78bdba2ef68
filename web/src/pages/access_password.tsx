import { useState } from 'preact/hooks'
import { call } from '../api'
import { Button, Failure, Field, Note } from '../ui'

export function PasswordTab() {
  const [old, setOld] = useState('')
  const [next, setNext] = useState('')
  const [again, setAgain] = useState('')
  const [error, setError] = useState<Error | null>(null)
  const [done, setDone] = useState(false)
  const change = async () => {
    setDone(false)
    setError(null)
    try {
      if (next !== again) throw new Error('The two new passwords differ.')
      await call('PUT /api/v1/me/password', { body: { old, new: next } })
      setOld('')
      setNext('')
      setAgain('')
      setDone(true)
    } catch (e) {
      setError(e as Error)
    }
  }
  return (
    <form class="fields narrow" onSubmit={(e) => { e.preventDefault(); void change() }}>
      <Field label="Present password"><input type="password" autocomplete="current-password" value={old}
        onInput={(e) => setOld(e.currentTarget.value)} /></Field>
      <Field label="New password (at least 10 characters)"><input type="password" autocomplete="new-password" value={next}
        onInput={(e) => setNext(e.currentTarget.value)} /></Field>
      <Field label="New password, once more"><input type="password" autocomplete="new-password" value={again}
        onInput={(e) => setAgain(e.currentTarget.value)} /></Field>
      <p><Button kind="main" type="submit">Change the password</Button></p>
      <p class="dim small">It ends your sessions in other browsers.</p>
      {done && <Note title="The password is changed." />}
      {error && <Failure error={error} />}
    </form>
  )
}
