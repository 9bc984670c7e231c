/** Scripts for attempts: claims, verdicts, and what keeps a lock. lua.ts says what they find around them. */

/** ARGV from 4 on: the lock's ms, the queues. */
export const CLAIM = `
return claim({ select(5, unpack(ARGV)) }, ARGV[4])
`

/**
 * Writes a verdict and, if asked to, takes the next task in the same step. ARGV from 4 on: queue, job, attempt,
 * the last attempt, where to (`completed`, `failed`, `delayed`, `wait`), flags, ms of delay, until when its name is held,
 * the name; the cancel that the verdict knows of, what becomes of `br:now` (`-`: it stays), the output or the reason, the
 * error of the hold; and as for a claim, or an empty text. Gives `{ 'settled' | 'cancel' | 'lost', hold, told, next }`.
 *
 * Flags: c cancelled, n the output is null, d attempts have died, s the verdict says something of what all of its name need,
 * u it has not run.
 */
export const SETTLE = `
local queue, id, attempt, to, flags = ARGV[4], ARGV[5], ARGV[6], ARGV[8], ARGV[9]
local k = base(queue)
local job = k .. id
local function flag(letter) return flags ~= '' and string.find(flags, letter, 1, true) ~= nil end

local function answer(word, hold, telling)
  local following = false
  if ARGV[17] ~= '' then following = claim({ select(18, unpack(ARGV)) }, ARGV[17]) end
  -- Perhaps all is done, and somebody waits for that.
  if not following and call('LLEN', k .. 'active') == 0 then call('PUBLISH', B .. 'all', me .. ' drained') end
  return { word, hold or false, telling or 0, following }
end

local function lost()
  -- Written already, and only the answer was lost: no other attempt has begun since, and this one is over.
  local state = stateOf(k, id)
  local same = state and call('HGET', job, 'ats') == attempt
  local is = to == 'delayed' and 'scheduled' or (to == 'wait' and 'queued')
  if same and (hasEnded(state) or state == is) then return answer('settled') end
  return answer('lost')
end

if call('GET', job .. ':lock') ~= me then return lost() end
if to ~= 'completed' then
  local cancel = call('HGET', job, 'br:cancel') or ''
  if cancel ~= ARGV[13] then return { 'cancel', cancel } end
end
if ARGV[14] == '' then call('HDEL', job, 'br:now')
elseif ARGV[14] ~= '-' then call('HSET', job, 'br:now', ARGV[14]) end
if flag('d') then call('HDEL', job, 'br:died', 'br:left') end
local over = 0
if to == 'completed' or to == 'failed' then
  if flag('n') then call('HSET', job, 'br:null', 1) end
  local result = bull.moveToFinished(
    { k .. 'wait', k .. 'active', k .. 'prioritized', k .. 'events', k .. 'stalled', k .. 'limiter', k .. 'delayed',
      k .. 'paused', k .. 'meta', k .. 'pc', k .. to, job, '', k .. 'marker' },
    { id, ARGV[2], to == 'completed' and 'returnvalue' or 'failedReason', ARGV[15], to, '0', k,
      { token = me, keepJobs = { count = -1 }, attempts = ARGV[7], maxMetricsSize = '' } })
  if result < 0 then return lost() end
  if flag('c') then call('ZADD', k .. 'br:cancelled', now, id)
  elseif to == 'failed' then call('ZREM', k .. 'br:cancelled', id) end
  over = ended(queue, id, to == 'completed' and 'succeeded' or (flag('c') and 'cancelled' or 'failed'))
elseif to == 'delayed' then
  bull.moveToDelayed(
    { k .. 'marker', k .. 'active', k .. 'prioritized', k .. 'delayed', job, k .. 'events', k .. 'meta', k .. 'stalled',
      k .. 'wait', k .. 'limiter', k .. 'pc' },
    { k, ARGV[2], id, me, ARGV[10], '1', nil, 0 })
else
  bull.moveJobFromActiveToWait(
    { k .. 'active', k .. 'wait', k .. 'stalled', k .. 'paused', k .. 'meta', k .. 'limiter', k .. 'prioritized',
      k .. 'marker', k .. 'events' }, { id, me, job })
  mark(k)
end
if flag('u') then call('HINCRBY', job, 'ats', -1) end
told(id)
local hold = false
local key = B .. 'hold:' .. queue
local till = tonumber(call('HGET', key, 'until'))
if till or ARGV[11] ~= '' then
  if ARGV[11] ~= '' then
    if not till or tonumber(ARGV[11]) > till then
      call('SADD', B .. 'holds', queue)
      call('HSET', key, 'until', ARGV[11], 'error', ARGV[16], 'name', ARGV[12])
      hold = 'held'
    end
  elseif till then
    local probe = call('HMGET', key, 'probe', 'attempt')
    if probe[1] == id and probe[2] == attempt and flag('s') then
      call('SREM', B .. 'holds', queue)
      call('DEL', key)
      hold = 'lifted'
    end
  end
  if hold then
    call('PUBLISH', B .. 'all', me .. ' holds')
  end
end
return answer('settled', hold, over)
`

/**
 * What `settle` tries first: a plain success while nobody comes after it and nothing is scheduled or held, and the next task
 * of the same queue, which BullMQ fetches in one go, under a lock of the same worker. So is nearly every task.
 */
export const SETTLE_PLAIN = `
local function plain()
  local queue, id = ARGV[4], ARGV[5]
  local k = P .. queue .. ':'
  local job = k .. id
  if call('EXISTS', B .. 'holds', B .. 'after:' .. queue .. ':' .. id, k .. 'delayed', k .. 'br:cancelled') > 0 then return end
  local result = bull.moveToFinished(
    { k .. 'wait', k .. 'active', k .. 'prioritized', k .. 'events', k .. 'stalled', k .. 'limiter', k .. 'delayed',
      k .. 'paused', k .. 'meta', k .. 'pc', k .. 'completed', job, '', k .. 'marker' },
    { id, ARGV[2], 'returnvalue', ARGV[15], 'completed', ARGV[17] == '' and '0' or '1', k,
      { token = me, keepJobs = { count = -1 }, attempts = ARGV[7], maxMetricsSize = '', lockDuration = ARGV[17] } })
  if type(result) ~= 'table' or result[2] == 0 then
    if result == 0 or type(result) == 'table' then
      call('PUBLISH', B .. 'changed', me .. ' ' .. id)
      if call('LLEN', k .. 'active') == 0 then call('PUBLISH', B .. 'all', me .. ' drained') end
      local limits = call('HMGET', k .. 'meta', 'concurrency', 'max')
      return { 'settled', false, 0, ARGV[17] ~= '' and (limits[1] or limits[2]) and 'limited' or false }
    end
    return
  end
  call('PUBLISH', B .. 'changed', me .. ' ' .. id .. ' ' .. result[2])
  return { 'settled', false, 0, { queue, result[2], 'running', result[1] } }
end
if ARGV[8] == 'completed' and ARGV[9] == 's' and ARGV[11] == '' and ARGV[14] == '-' and not ARGV[19]
  and (ARGV[17] == '' or ARGV[18] == ARGV[4]) then
  local done = plain()
  if done then return done end
end
`

/** Writes one field of a running job, while its attempt is still this worker's. Raw: the value. */
export const PUT = `
local job = base(p.queue) .. p.id
if call('GET', job .. ':lock') ~= me then return 0 end
call('HSET', job, p.field, ARGV[5])
if p.field == 'progress' then
  call('XADD', base(p.queue) .. 'events', '*', 'event', 'progress', 'jobId', p.id, 'data', ARGV[5])
end
told(p.id)
return 1
`

/** Keeps the locks of \`jobs\` ({ queue, job }): whether each is still held, and the cancel that was asked for. */
export const RENEW = `
local answers = {}
for i, job in ipairs(p.jobs) do
  local k, id = base(job[1]), job[2]
  local renewed = bull.extendLock({ k .. id .. ':lock', k .. 'stalled' }, { me, p.lock, id })
  answers[i] = { renewed, call('HGET', k .. id, 'br:cancel') or '' }
end
return answers
`

/** Its worker gives up on these ({ queue, job }): what comes of them is no death. */
export const LEAVE = `
for _, job in ipairs(p.jobs) do
  local key = base(job[1]) .. job[2]
  if call('GET', key .. ':lock') == me then call('HSET', key, 'br:left', me) end
end
return 1
`

/** What this worker holds, as rows. */
export const MINE = `
local rows = {}
for _, queue in ipairs(call('SMEMBERS', B .. 'queues')) do
  local k = base(queue)
  for _, id in ipairs(call('LRANGE', k .. 'active', 0, -1)) do
    if call('GET', k .. id .. ':lock') == me then rows[#rows + 1] = row(queue, id) end
  end
end
return rows
`
