import type { TaskContext } from 'background-runner'

export function place(): { pid: number; isMainThread: boolean }
export function run(steps: number, ctx: TaskContext): Promise<string>
export function work(ms: number): Promise<string>
export function wait(input: undefined, ctx: TaskContext): Promise<never>
export function tidy(ms: number, ctx: TaskContext): Promise<never>
export function spin(): never
export function fail(): never
export function good(ms: number, ctx: TaskContext): Promise<{ ms: number }>
export function deaf(ms: number): Promise<void>
export function once(ms: number, ctx: TaskContext): Promise<void>
