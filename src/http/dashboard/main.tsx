/** Where the dashboard begins. */
import { render } from 'preact'
import { App } from './app.js'
import { applyTheme } from './theme.js'

applyTheme()
render(<App />, document.getElementById('app') as HTMLElement)
