// Runs before the first paint: a stored choice of light or dark wins over the system's.
// applyTheme in shell.tsx changes it later.
try {
  const theme = localStorage.getItem('croft.theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
} catch {
  // storage is blocked: the system's choice stands
}
export {}
