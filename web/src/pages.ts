// The pages. To add one: its address in paths.ts, a file in pages/, a row here; with a key it
// stands in the navigation and under "g" and that key.
import type { ComponentType } from 'preact'
import { currentTurn } from './asking'
import { lazy } from './lazy'
import type { PageName } from './paths'
import type { IconName } from './ui'
import { AccessPage } from './pages/access'
import { AskPage } from './pages/ask'
import { AuditPage } from './pages/audit'
import { DocumentPage } from './pages/document'
import { DocumentsPage } from './pages/documents'
import { ModelsPage } from './pages/models'
import { RunsPage } from './pages/runs'
import { SearchPage } from './pages/search'
import { SettingsPage } from './pages/settings'

export interface PageRow {
  title: string
  icon: IconName
  key?: string
  /** The row of the navigation that is lit while this page shows. */
  under?: PageName
  /** What a click on its link does when it shows already. */
  again?: () => void
  // parameters of the address arrive as props
  page: ComponentType<any>
}

export const pages: Record<PageName, PageRow> = {
  ask: { title: 'Ask', icon: 'ask', key: 'a', page: AskPage,
    again: () => currentTurn.set(null) },
  documents: { title: 'Documents', icon: 'documents', key: 'd', page: DocumentsPage },
  document: { title: 'Document', icon: 'documents', under: 'documents', page: DocumentPage },
  search: { title: 'Search', icon: 'search', key: 's', page: SearchPage },
  collections: { title: 'Collections', icon: 'collections', key: 'c',
    page: lazy('Collections', async () => (await import('./pages/collections')).CollectionsPage) },
  collection: { title: 'Collection', icon: 'collections', under: 'collections',
    page: lazy('Collection', async () => (await import('./pages/collection')).CollectionPage) },
  playground: { title: 'Playground', icon: 'play', key: 'p',
    page: lazy('Playground', async () => (await import('./pages/playground')).PlaygroundPage) },
  runs: { title: 'Runs', icon: 'runs', key: 'r', page: RunsPage },
  run: { title: 'Run', icon: 'runs', under: 'runs',
    page: lazy('Run', async () => (await import('./pages/run')).RunPage) },
  experiments: { title: 'Experiments', icon: 'experiments', key: 'e',
    page: lazy('Experiments', async () => (await import('./pages/experiments')).ExperimentsPage) },
  experiment: { title: 'Experiment', icon: 'experiments', under: 'experiments',
    page: lazy('Experiment', async () => (await import('./pages/experiment')).ExperimentPage) },
  compare: { title: 'Comparison', icon: 'experiments', under: 'experiments',
    page: lazy('Comparison', async () => (await import('./pages/compare')).ComparePage) },
  experimentRun: { title: 'Run', icon: 'experiments', under: 'experiments',
    page: lazy('Run', async () => (await import('./pages/experiment_run')).ExperimentRunPage) },
  registry: { title: 'Registry', icon: 'registry', key: 'y',
    page: lazy('Registry', async () => (await import('./pages/registry')).RegistryPage) },
  artifact: { title: 'Artifact', icon: 'registry', under: 'registry',
    page: lazy('Artifact', async () => (await import('./pages/artifact')).ArtifactPage) },
  models: { title: 'Models', icon: 'models', key: 'm', page: ModelsPage },
  settings: { title: 'Settings', icon: 'settings', key: 't', page: SettingsPage },
  access: { title: 'Access', icon: 'key', page: AccessPage },
  audit: { title: 'Audit log', icon: 'key', under: 'access', page: AuditPage },
}
