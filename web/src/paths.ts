// The addresses of the pages. A segment that begins with ":" is a parameter. The server answers
// these, and only these, with the page (build.mjs copies them into the binary's table).
export const paths = {
  ask: '/',
  documents: '/documents',
  document: '/documents/:id',
  search: '/search',
  collections: '/vectors',
  collection: '/vectors/:name',
  playground: '/playground',
  runs: '/runs',
  run: '/runs/:id',
  experiments: '/experiments',
  experiment: '/experiments/:experiment',
  compare: '/experiments/:experiment/compare',
  experimentRun: '/experiments/:experiment/runs/:id',
  registry: '/registry',
  artifact: '/registry/:kind/:name',
  models: '/models',
  settings: '/settings',
  access: '/access',
  audit: '/audit',
} as const

export type PageName = keyof typeof paths
