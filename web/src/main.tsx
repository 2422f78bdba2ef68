import { render } from 'preact'
import './app.css'
import './registry.css'
import { Shell } from './shell'

render(<Shell />, document.getElementById('app')!)
