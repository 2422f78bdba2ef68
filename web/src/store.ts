// A value that components can watch and anything can set.
import { useEffect, useState } from 'preact/hooks'

export interface Store<T> {
  get(): T
  set(next: T | ((now: T) => T)): void
  watch(fn: (value: T) => void): () => void
}

export function createStore<T>(value: T): Store<T> {
  const watchers = new Set<(value: T) => void>()
  return {
    get: () => value,
    set(next) {
      value = typeof next === 'function' ? (next as (now: T) => T)(value) : next
      watchers.forEach((fn) => fn(value))
    },
    watch(fn) {
      watchers.add(fn)
      return () => void watchers.delete(fn)
    },
  }
}

export function useStore<T>(store: Store<T>): T {
  const [, redraw] = useState(0)
  useEffect(() => store.watch(() => redraw((n) => n + 1)), [store])
  return store.get()
}
