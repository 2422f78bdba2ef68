// Numbers, sizes, times and names as people read them.

export const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString('en')} ${n === 1 ? one : many}`

export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  let unit = -1
  do {
    bytes /= 1000
    unit++
  } while (bytes >= 999.5 && unit < 3)
  return `${bytes.toFixed(bytes < 9.95 ? 1 : 0)} ${['kB', 'MB', 'GB', 'TB'][unit]}`
}

export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '…'
  if (ms < 9.95) return `${ms < 0.01 ? +ms.toFixed(2) : +ms.toPrecision(2)} ms`
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 59_950) return `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`
  const s = Math.round(ms / 1000)
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`
}

const dateTime = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })
const dateOnly = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' })
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })

export const fullTime = (iso: string | null): string =>
  iso && !isNaN(Date.parse(iso)) ? dateTime.format(new Date(iso)) : '–'

/** "3 minutes ago" today, the date before that. */
export function when(iso: string | null): string {
  const t = iso ? Date.parse(iso) : NaN
  if (isNaN(t)) return '–'
  const s = (t - Date.now()) / 1000
  if (s > -10) return 'now'
  if (s > -60) return relative.format(Math.round(s), 'second')
  if (s > -3600) return relative.format(Math.round(s / 60), 'minute')
  if (s > -86_400) return relative.format(Math.round(s / 3600), 'hour')
  return dateOnly.format(new Date(t))
}

export const parameters = (n: number): string =>
  n >= 1e9 ? `${(n / 1e9).toFixed(n < 1e10 ? 1 : 0)} B` : `${Math.round(n / 1e6)} M`

export const fileName = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

export const plural = (n: number, one: string, many = `${one}s`): string => (n === 1 ? one : many)
