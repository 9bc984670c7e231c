export function buildDashboard(): Promise<Record<string, number>>
