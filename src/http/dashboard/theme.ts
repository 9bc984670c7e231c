/** Light, dark, or as the system has it; kept in this browser. */
import { useEffect, useState } from 'preact/hooks'

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'background-runner:theme'
const dark = matchMedia('(prefers-color-scheme: dark)')

function stored(): Theme {
  try {
    const theme = localStorage.getItem(KEY)
    return theme === 'light' || theme === 'dark' ? theme : 'system'
  } catch {
    // A browser that keeps nothing refuses even to look.
    return 'system'
  }
}

/** Before anything is drawn. */
export function applyTheme(theme: Theme = stored()): void {
  document.documentElement.dataset['theme'] = theme
}

export function useTheme(): readonly [theme: Theme, isDark: boolean, set: (theme: Theme) => void] {
  const [theme, setTheme] = useState(stored)
  const [system, setSystem] = useState(dark.matches)
  useEffect(() => {
    const follow = (): void => setSystem(dark.matches)
    dark.addEventListener('change', follow)
    return () => dark.removeEventListener('change', follow)
  }, [])
  const set = (next: Theme): void => {
    applyTheme(next)
    setTheme(next)
    try {
      if (next === 'system') localStorage.removeItem(KEY)
      else localStorage.setItem(KEY, next)
    } catch {
      // Then it holds for this page only.
    }
  }
  return [theme, theme === 'system' ? system : theme === 'dark', set]
}
