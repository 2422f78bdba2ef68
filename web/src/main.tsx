import { render } from 'preact'
import './app.css'
render(<h1>Croft</h1>, document.getElementById('app')!)
