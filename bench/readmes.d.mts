export function written(results: Record<string, unknown>): Record<string, string>
