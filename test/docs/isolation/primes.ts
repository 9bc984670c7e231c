import type { TaskContext } from 'background-runner'

export function run(below: number, { progress }: TaskContext): number {
  let found = 0
  for (let n = 2; n < below; n++) {
    if (isPrime(n)) found++
    if (n % 10_000 === 0) progress({ percent: (100 * n) / below })
  }
  return found
}

function isPrime(n: number): boolean {
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false
  return true
}
