// A page whose code is fetched when it is first shown.
import type { ComponentType } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { Failure, PageHead } from './ui'

/** The component that load() brings; its title stands there meanwhile. */
export function lazy<P extends object>(title: string, load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let Page: ComponentType<P> | null = null
  return function Lazy(props: P) {
    const [error, setError] = useState<Error | null>(null)
    const [, redraw] = useState(0)
    const get = () => {
      setError(null)
      load().then((page) => {
        Page = page
        redraw((n) => n + 1)
      }, () => setError(new Error('This page could not be loaded. Is croft still running?')))
    }
    useEffect(() => {
      if (!Page) get()
    }, [])
    useEffect(() => {
      // the head that had the keyboard's place is another one now
      if (Page && document.activeElement === document.body)
        document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true })
    }, [!!Page])
    if (Page) return <Page {...props} />
    return <><PageHead title={title} />{error && <Failure error={error} retry={get} />}</>
  }
}
