// Light or dark, for what is drawn on a canvas and must be drawn again when it changes.
import { useEffect, useState } from 'preact/hooks'

const now = (): string => {
  const chosen = document.documentElement.dataset.theme
  return chosen ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')
}

export function useTheme(): string {
  const [theme, setTheme] = useState(now)
  useEffect(() => {
    const look = () => setTheme(now())
    const system = matchMedia('(prefers-color-scheme: dark)')
    const watch = new MutationObserver(look)
    watch.observe(document.documentElement, { attributeFilter: ['data-theme'] })
    system.addEventListener('change', look)
    return () => {
      watch.disconnect()
      system.removeEventListener('change', look)
    }
  }, [])
  return theme
}
