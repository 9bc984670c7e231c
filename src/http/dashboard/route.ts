/** Where one is: all of it in the hash, so that a view can be linked and the server need not know of it. */
import { useEffect, useState } from 'preact/hooks'
import type { TaskState } from '../../index.js'
import type { Filter } from './types.js'

export const STATES: readonly TaskState[] = ['queued', 'scheduled', 'running', 'succeeded', 'failed', 'cancelled']

export type Route =
  | { readonly page: 'tasks'; readonly filter: Filter; readonly cursor: string | undefined }
  | { readonly page: 'task'; readonly id: string }
  | { readonly page: 'schedules' }
  | { readonly page: 'submit' }

function parseHash(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#?\/?/, '').split(/\?(.*)/s)
  if (path.startsWith('tasks/')) return { page: 'task', id: decoded(path.slice('tasks/'.length)) }
  if (path === 'schedules' || path === 'submit') return { page: path }
  const params = new URLSearchParams(query)
  const states = params.getAll('states').filter((state): state is TaskState => STATES.includes(state as TaskState))
  return {
    page: 'tasks',
    filter: { states, names: params.getAll('names'), tags: params.getAll('tags') },
    cursor: params.get('cursor') ?? undefined,
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export function listHash({ states, names, tags }: Filter, cursor?: string): string {
  const params = new URLSearchParams()
  for (const state of states) params.append('states', state)
  for (const name of names) params.append('names', name)
  for (const tag of tags) params.append('tags', tag)
  if (cursor !== undefined) params.set('cursor', cursor)
  return params.size === 0 ? '#/' : `#/?${params}`
}

export function taskHash(id: string): string {
  return `#/tasks/${encodeURIComponent(id)}`
}

export function go(hash: string): void {
  location.hash = hash
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parseHash(location.hash))
  useEffect(() => {
    const follow = (): void => setRoute(parseHash(location.hash))
    addEventListener('hashchange', follow)
    return () => removeEventListener('hashchange', follow)
  }, [])
  return route
}
