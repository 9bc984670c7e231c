/** The keyboard: all of it also works with Tab and Enter, this is the shorter way. */
import { useEffect } from 'preact/hooks'
import { openDialog } from './dialogs.js'
import { go } from './route.js'

const KEYS = [
  ['/', 'to the filter'],
  ['j, k', 'to the next task, to the one before'],
  ['Enter', 'opens it'],
  ['x', 'selects it'],
  ['Escape', 'closes a dialog, leaves a field, goes back to the list'],
  ['g t, g s, g n', 'to the tasks, the schedules, a new task'],
  ['?', 'this'],
] as const

export function keysDialog(): void {
  openDialog({
    title: 'Keyboard shortcuts',
    body: (
      <dl class="keys-list">
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    ),
  })
}

const PLACES: Readonly<Record<string, string>> = { t: '#/', s: '#/schedules', n: '#/submit' }

/** `back`: the list that one came from. */
export function useKeys(back: { readonly current: string }): void {
  useEffect(() => {
    let before = ''
    const press = (event: KeyboardEvent): void => {
      const { key, target } = event
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
      if (document.querySelector('dialog[open]') !== null) return
      const last = before
      before = key
      const writes = target instanceof HTMLElement && target.matches('input:not([type=checkbox]), textarea, select')
      if (key === 'Escape') {
        if (writes) (target as HTMLElement).blur()
        else if (!location.hash.startsWith('#/?') && location.hash !== '#/' && location.hash !== '') go(back.current)
        return
      }
      if (writes) return
      const place = last === 'g' ? PLACES[key] : undefined
      if (place !== undefined) go(place)
      else if (key === '?') keysDialog()
      else if (key === '/') document.querySelector<HTMLElement>('#filter-name')?.focus()
      else if (key === 'j' || key === 'k') move(key === 'j' ? 1 : -1)
      else if (key === 'x') document.activeElement?.closest('tr')?.querySelector<HTMLElement>('.c-check input')?.click()
      else return
      event.preventDefault()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
}

function move(by: 1 | -1): void {
  const links = [...document.querySelectorAll<HTMLElement>('.row-link')]
  const row = document.activeElement?.closest('tr')
  const at = row == null ? -1 : links.findIndex((link) => row.contains(link))
  const next = links[at < 0 ? 0 : at + by]
  next?.focus()
  next?.scrollIntoView({ block: 'nearest' })
}
