// Saving an answer as a file. With a key, or a session that needs headers, the browser cannot fetch a
// link by itself.

export function saveAs(blob: Blob, name: string): void {
  const a = document.createElement('a')
  a.href = URL.createObjectURL(blob)
  a.download = name
  a.click()
  setTimeout(() => URL.revokeObjectURL(a.href), 10_000)
}
