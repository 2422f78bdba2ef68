import { render } from 'preact'
import './app.css'
import './registry.css'
import 'uplot/dist/uPlot.min.css'
import './experiments.css'
import './playground.css'
import './map.css'
import './curate.css'
import './stages.css'
import './migrate.css'
import './versions.css'
import { Shell } from './shell'

render(<Shell />, document.getElementById('app')!)
