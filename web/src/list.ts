// Lists that come a page at a time.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'

export interface Page<T> { items: T[]; next: string | null }

/** The first page whenever deps change or refresh() is called; more() appends the next one. */
export function usePages<P extends Page<{ id: string }>>(
  load: (after: string | undefined, signal?: AbortSignal) => Promise<P>, deps: unknown[]) {
  type T = P['items'][number]
  const [state, setState] = useState<{ first: P | null; rest: T[]; next: string | null }>(
    { first: null, rest: [], next: null })
  const [error, setError] = useState<Error | null>(null)
  const latest = useRef(load)
  latest.current = load
  const [again, setAgain] = useState(0)
  const seen = useRef(deps)

  useEffect(() => {
    const stop = new AbortController()
    const fresh = seen.current.some((d, i) => d !== deps[i])
    seen.current = deps
    latest.current(undefined, stop.signal).then((first) => {
      if (stop.signal.aborted) return
      setError(null)
      // what was loaded below stays when only the top is looked at again
      setState((s) => (fresh || !s.rest.length ? { first, rest: [], next: first.next }
        : { first, rest: s.rest.filter((r) => !first.items.some((f) => f.id === r.id)), next: s.next }))
    }, (e: Error) => !stop.signal.aborted && setError(e))
    return () => stop.abort()
  }, [...deps, again])

  const refresh = useCallback(() => setAgain((n) => n + 1), [])
  const more = async () => {
    try {
      const page = await load(state.next!)
      setState((s) => ({ ...s, rest: [...s.rest, ...page.items], next: page.next }))
    } catch (e) {
      setError(e as Error)
    }
  }
  const items: T[] | null = state.first ? [...state.first.items, ...state.rest] : null
  return { items, first: state.first, error, refresh, more: state.next ? more : null }
}
