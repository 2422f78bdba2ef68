// The address bar as state. Links are plain <a href>; a click on one that leads to a page of ours
// is taken here, everything else is left to the browser.
import { useEffect } from 'preact/hooks'
import { paths, type PageName } from './paths'
import { createStore, useStore } from './store'

export interface Place {
  path: string
  query: URLSearchParams
}

export interface Found {
  name: PageName
  params: Record<string, string>
}

const here = (): Place => {
  const elsewhere = location.pathname === '/' && location.hash && fromMlflow(location.hash)
  if (elsewhere) history.replaceState(history.state, '', elsewhere)
  return { path: location.pathname, query: new URLSearchParams(location.search) }
}
const place = createStore<Place>(here())

export const usePlace = (): Place => useStore(place)
export const currentPlace = (): Place => place.get()

export function navigate(to: string, { replace = false } = {}): void {
  const before = location.pathname
  if (replace) history.replaceState(history.state, '', to)
  else history.pushState({ ours: true }, '', to)
  place.set(here())
  if (location.pathname !== before) scrollTo(0, 0)
}

/** The same page with some of the query changed; null takes a name out. */
export function withQuery(changes: Record<string, string | null | undefined>): string {
  const { path, query } = place.get()
  const next = new URLSearchParams(query)
  for (const [name, value] of Object.entries(changes))
    if (value) next.set(name, value)
    else next.delete(name)
  return next.size ? `${path}?${next}` : path
}


function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

export function find(path: string): Found | null {
  const have = path.split('/')
  for (const [name, pattern] of Object.entries(paths)) {
    const want = pattern.split('/')
    const params: Record<string, string> = {}
    const fits = want.length === have.length && want.every((w, i) => {
      if (!w.startsWith(':')) return w === have[i]
      params[w.slice(1)] = decoded(have[i]!)
      return have[i] !== ''
    })
    if (fits) return { name: name as PageName, params }
  }
  return null
}

export function href(
  name: PageName, params: Record<string, string> = {}, query?: Record<string, string>): string {
  const path = paths[name].replace(/:(\w+)/g, (_, p: string) => encodeURIComponent(params[p] ?? ''))
  return query ? `${path}?${new URLSearchParams(query)}` : path
}

/** MLflow's client prints links to its own page (/#/experiments/3/runs/...): where they lead here. */
export function fromMlflow(hash: string): string | null {
  const path = hash.replace(/^#/, '').replace(/\?.*$/, '')
  const model = /^\/models\/([^/]+)(?:\/versions\/(\d+))?$/.exec(path)
  if (model) return href('artifact', { kind: 'model', name: decoded(model[1]!) }, model[2] ? { v: model[2] } : undefined)
  return path.startsWith('/experiments') && find(path) ? path : null
}

export function useRouting(): void {
  useEffect(() => {
    const onPop = () => place.set(here())
    const onClick = (e: MouseEvent) => {
      const a = (e.target as Element).closest?.('a')
      if (!a || e.defaultPrevented || e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey)
        return
      if (a.target || a.hasAttribute('download') || a.origin !== location.origin) return
      if (!find(a.pathname)) return
      e.preventDefault()
      if (a.href !== location.href) navigate(a.pathname + a.search)
    }
    addEventListener('popstate', onPop)
    document.addEventListener('click', onClick)
    return () => {
      removeEventListener('popstate', onPop)
      document.removeEventListener('click', onClick)
    }
  }, [])
}
