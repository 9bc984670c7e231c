/**
 * The scripts that run inside Redis. BullMQ's own are taken as they are, each as a function (`bull.…`), so that what we
 * add to a job happens in one step with what BullMQ does: `scripts.ts` puts them together.
 *
 * Keys. BullMQ keeps a queue for each task name, `<prefix>:<queue>:…`, and a job for each task. Ours are
 *   <base>format             the number of this layout: backend.ts
 *   <base>queues             set: the queues there are
 *   <base>seq                counter: the order of submission
 *   <base>pause              there while the whole engine is paused
 *   <base>holds              set: the queues that are held; hash <base>hold:<queue>: until, error, probe, attempt
 *   <base>after:<queue>:<job> list: the jobs that come after this one, `queue job`
 *   <base>parents            sorted set: the jobs that others come after, `queue job` → when they were last seen
 *   <base>telling            list: ended jobs whose followers are still to be told, `queue job state`
 *   <base>did:<request>      what a verb has done that leaves no job to write it in, for a while
 *   <base>schedules          hash: id → JSON
 *   <base>wake:<worker>      a marker that ends its wait for new work, for some seconds
 * and, beside BullMQ's in a queue,
 *   br:index                 sorted set: job → its place in the order of submission
 *   br:tag:<tag>             sorted set, the same, of those that have it
 *   br:keys                  hash: idempotency key → job
 *   br:beside                hash: job → its key and its tags, packed, should nobody but BullMQ's own tools remove it
 *   br:looked                where the search for jobs that those have removed goes on
 *   br:cancelled             sorted set: those of `failed` that were cancelled
 * and in a job
 *   br                       JSON: what was submitted beside the input and is no field of BullMQ's
 *   br:now                   JSON: what became of it, where it is more than BullMQ's fields say
 *   br:by                    the request of a verb that has changed it last: it may be asked again, for want of an answer
 *   br:saved, br:cancel      JSON: the saved state; a cancel that was asked for
 *   br:died                  `attempt:startedAt:kind:time,…`: attempts that ended with their process, since the last verdict
 *   br:left                  the worker that gave up on it: its end is no death
 *   br:alone                 the attempt that ran while it was a suspect
 *   br:blocked               how many tasks have to end before it
 *   br:end                   `state id`: what it came after, and how that ended
 *   br:null                  its output is null, and not none
 */

/** Every script begins with it. KEYS: base. ARGV: prefix, now, worker; then parameters as JSON, and what follows is raw. */
export const HEAD = `
local B, P, now, me = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local call = redis.call
local SLOT = 0x100000000
local bull = {}
-- What BullMQ's scripts are given packed they are given here as it is.
local msgpack = cmsgpack
local cmsgpack = { unpack = function(value) return value end }
-- Told once, at the end of the script.
local changed = {}
`

/** What several scripts use; each gets what it names, and what that names. Later ones use earlier ones. */
export const FUNCTIONS: Readonly<Record<string, string>> = {
  json: `
-- cjson refuses the escape of a lone surrogate, which what users bring may have. What scripts read of a text has none.
local function json(text)
  if string.find(text, '\\\\u[dD]') then
    text = string.gsub(string.gsub(text, '\\\\\\\\', '\\0'), '\\\\u[dD]([89a-fA-F]%x%x)', '\\\\u0%1')
    text = string.gsub(text, '%z', '\\\\\\\\')
  end
  return cjson.decode(text)
end`,
  p: `
local p = json(ARGV[4])`,
  base: `
local function base(queue) return P .. queue .. ':' end`,
  told: `
local function told(id) changed[#changed + 1] = id end`,
  isPaused: `
local function isPaused(k) return call('HEXISTS', k .. 'meta', 'paused') == 1 end`,
  mark: `
local function mark(k) if not isPaused(k) then call('ZADD', k .. 'marker', 0, '0') end end`,
  event: `
local function event(k, name, id, prev) call('XADD', k .. 'events', '*', 'event', name, 'jobId', id, 'prev', prev) end`,
  stateOf: `
local function stateOf(k, id)
  if call('ZSCORE', k .. 'completed', id) then return 'succeeded' end
  if call('ZSCORE', k .. 'failed', id) then
    return call('ZSCORE', k .. 'br:cancelled', id) and 'cancelled' or 'failed'
  end
  if call('ZSCORE', k .. 'prioritized', id) then return 'queued' end
  if call('ZSCORE', k .. 'delayed', id) then return 'scheduled' end
  if call('EXISTS', k .. id) == 0 then return false end
  if call('ZSCORE', k .. 'waiting-children', id) or call('LPOS', k .. 'wait', id) then return 'queued' end
  return 'running'
end`,
  hasEnded: `
local function hasEnded(state) return state == 'succeeded' or state == 'failed' or state == 'cancelled' end`,
  find: `
-- The queue of a job, wherever it is.
local function find(id)
  for _, queue in ipairs(call('SMEMBERS', B .. 'queues')) do
    if call('EXISTS', base(queue) .. id) == 1 then return queue end
  end
end`,
  wait: `
-- Where one waits that nothing keeps.
local function wait(k, id, priority)
  if priority == 0 then call('LPUSH', k .. 'wait', id)
  else call('ZADD', k .. 'prioritized', priority * SLOT + call('INCR', k .. 'pc') % SLOT, id) end
  mark(k)
end`,
  promote: `
-- As BullMQ does it within a claim: what is due waits, but for what comes after others.
local function promote(k, most)
  local due = call('ZRANGEBYSCORE', k .. 'delayed', 0, (now + 1) * 0x1000 - 1, 'LIMIT', 0, most)
  for _, id in ipairs(due) do
    call('ZREM', k .. 'delayed', id)
    local fields = call('HMGET', k .. id, 'priority', 'br:blocked')
    call('HSET', k .. id, 'delay', 0)
    if (tonumber(fields[2]) or 0) > 0 then call('ZADD', k .. 'waiting-children', now, id)
    else
      wait(k, id, tonumber(fields[1]) or 0)
      event(k, 'waiting', id, 'delayed')
    end
    told(id)
  end
  return #due < most
end`,
  later: `
local function later(k, id, at)
  call('HSET', k .. id, 'delay', at - now)
  call('ZADD', k .. 'delayed', at * 0x1000, id)
  call('ZADD', k .. 'marker', at, '1')
  event(k, 'delayed', id, 'waiting')
end`,
  waiting: `
local function waiting(k)
  return call('ZCARD', k .. 'prioritized') + call('LLEN', k .. 'wait') + call('ZCARD', k .. 'waiting-children')
end`,
  head: `
-- The next of a queue, and BullMQ's priority of it.
local function head(k)
  local id = call('LINDEX', k .. 'wait', -1)
  if id then return id, 0 end -- before all others, whatever its own priority
  local first = call('ZRANGE', k .. 'prioritized', 0, 0, 'WITHSCORES')
  if first[1] then return first[1], math.floor(tonumber(first[2]) / SLOT) end
end`,
  rank: `
-- When it became due, and its place in the order of submission.
local function rank(k, id)
  local fields = call('HMGET', k .. id, 'timestamp', 'opts', 'br:now')
  local state = fields[3] and json(fields[3]) or {}
  local due = state.runAt or tonumber(fields[1]) + (cjson.decode(fields[2]).delay or 0)
  return due, tonumber(call('ZSCORE', k .. 'br:index', id)) or 0
end`,
  isHeld: `
-- local/holds.ts has the rules.
local function isHeld(queue)
  local hold = call('HMGET', B .. 'hold:' .. queue, 'until', 'probe', 'attempt')
  if not hold[1] then return false end
  if now < tonumber(hold[1]) then return true end
  if not hold[2] then return false end
  local k = base(queue) .. hold[2]
  return call('EXISTS', k .. ':lock') == 1 and call('HGET', k, 'ats') == hold[3]
end`,
  ended: `
-- It has ended: who comes after it is still to be told.
local function ended(queue, id, state)
  call('ZREM', B .. 'parents', queue .. ' ' .. id)
  if call('EXISTS', B .. 'after:' .. queue .. ':' .. id) == 1 then
    call('RPUSH', B .. 'telling', queue .. ' ' .. id .. ' ' .. state)
    return 1
  end
  return 0
end`,
  endWaiting: `
-- One that waits ends as cancelled.
local function endWaiting(queue, id, why)
  local k = base(queue)
  call('ZREM', k .. 'prioritized', id)
  call('ZREM', k .. 'delayed', id)
  call('ZREM', k .. 'waiting-children', id)
  call('LREM', k .. 'wait', 0, id)
  call('HSET', k .. id, 'finishedOn', now, 'failedReason', why)
  call('ZADD', k .. 'failed', now, id)
  call('ZADD', k .. 'br:cancelled', now, id)
  event(k, 'failed', id, 'waiting')
  told(id)
  -- Perhaps all is done, and somebody waits for that.
  if waiting(k) + call('LLEN', k .. 'active') + call('ZCARD', k .. 'delayed') == 0 then
    call('PUBLISH', B .. 'all', me .. ' drained')
  end
  return ended(queue, id, 'cancelled')
end`,
  follow: `
-- Comes after those of \`ids\` that have not ended; says how many, and gives one that has ended otherwise than well.
local function follow(queue, id, ids)
  local blocked, failed = 0, nil
  for _, parent in ipairs(ids) do
    local at = find(parent)
    local state = at and stateOf(base(at), parent)
    if state and not hasEnded(state) then
      call('RPUSH', B .. 'after:' .. at .. ':' .. parent, queue .. ' ' .. id)
      call('ZADD', B .. 'parents', 'NX', now, at .. ' ' .. parent)
      blocked = blocked + 1
    elseif state and state ~= 'succeeded' then failed = failed or (state .. ' ' .. parent) end
  end
  return blocked, failed
end`,
  forget: `
-- What is kept of it beside BullMQ's job.
local function forget(queue, id)
  local k = base(queue)
  call('ZREM', k .. 'br:index', id)
  call('ZREM', k .. 'br:cancelled', id)
  local beside = call('HGET', k .. 'br:beside', id)
  if not beside then return end
  call('HDEL', k .. 'br:beside', id)
  local key, tags = msgpack.unpack(beside)
  if key and call('HGET', k .. 'br:keys', key) == id then call('HDEL', k .. 'br:keys', key) end
  for _, tag in ipairs(tags or {}) do call('ZREM', k .. 'br:tag:' .. tag, id) end
end`,
  closed: `
-- For how many ms a queue gives nothing: it is paused (math.huge), or at a limit that BullMQ's own tools have set.
local function closed(k)
  local meta = call('HMGET', k .. 'meta', 'paused', 'concurrency', 'max')
  if meta[1] then return math.huge end
  local max = tonumber(meta[3])
  if max and max <= tonumber(call('GET', k .. 'limiter') or 0) then
    local ms = call('PTTL', k .. 'limiter')
    if ms > 0 then return ms end
  end
  if meta[2] and call('LLEN', k .. 'active') >= tonumber(meta[2]) then return 1000 end -- nobody tells when it is not
  return false
end`,
  row: `
local function row(queue, id)
  local k = base(queue)
  local state = stateOf(k, id)
  if not state then return false end
  return { queue, id, state, call('HGETALL', k .. id) }
end`,
  best: `
-- The queue whose next one goes first; or false, and why there may be one soon.
local function best(queues)
  local best, bestId, bestPriority, bestDue, bestSeq
  local limited = false
  for _, queue in ipairs(queues) do
    local k = base(queue)
    local ms = closed(k)
    if ms then limited = limited or (ms < math.huge and head(k) and 'limited') or false
    elseif not isHeld(queue) then
      if not promote(k, 1000) then return false, 'more' end
      local id, priority = head(k)
      if id then
        local better = best == nil or priority < bestPriority
        if best ~= nil and priority == bestPriority then
          if bestDue == nil then bestDue, bestSeq = rank(base(best), bestId) end
          local due, seq = rank(k, id)
          better = due < bestDue or (due == bestDue and seq < bestSeq)
          if better then bestDue, bestSeq = due, seq end
        elseif better then bestDue, bestSeq = nil, nil end
        if better then best, bestId, bestPriority = queue, id, priority end
      end
    end
  end
  return best, limited
end`,
  // Takes the best of `queues`: `{ queue, job, 'running', fields }`, or false if none waits; 'limited' where BullMQ gives none,
  // by a limit of the queue, and 'more' where more is due than waits by now.
  claim: `
local function taken(queue, id, fields)
  -- It was cancelled, and BullMQ's own tools have retried it.
  if call('ZREM', base(queue) .. 'br:cancelled', id) == 1 then
    call('HDEL', base(queue) .. id, 'br:cancel', 'br:end')
    fields = call('HGETALL', base(queue) .. id)
  end
  if call('EXISTS', B .. 'hold:' .. queue) == 1 then
    call('HSET', B .. 'hold:' .. queue, 'probe', id, 'attempt', call('HGET', base(queue) .. id, 'ats'))
  end
  told(id)
  return { queue, id, 'running', fields }
end

local function claim(queues, lock)
  local queue, why = best(queues)
  if not queue then return why end
  local k = base(queue)
  -- Of what is due BullMQ would make some wait by itself, also what comes after others: there is none in this key.
  local active = bull.moveToActive(
    { k .. 'wait', k .. 'active', k .. 'prioritized', k .. 'events', k .. 'stalled', k .. 'limiter', k .. 'br:none',
      k .. 'paused', k .. 'meta', k .. 'pc', k .. 'marker' },
    { k, ARGV[2], { token = me, lockDuration = lock } })
  if active[2] == 0 then return false end
  return taken(queue, active[2], active[1])
end`,
}

/** And every script ends with it. */
export const END = `
local answer = main()
if changed[1] then call('PUBLISH', B .. 'changed', me .. ' ' .. table.concat(changed, ' ')) end
return answer
`

/**
 * All or none. Parameters: `tasks`, `maxPending`, and `schedule` as it was read and as it will be; `request`, a number that
 * this worker gives no other one. Raw: input and `br` of each.
 */
export const INSERT = `
if p.schedule then
  if call('HGET', B .. 'schedules', p.schedule.id) ~= ARGV[5] then return { 'changed' } end
end
local raw = p.schedule and 6 or 4
local request = me .. ':' .. p.request
local function keyed(k, key)
  local id = call('HGET', k .. 'br:keys', key)
  return id and call('EXISTS', k .. id) == 1 and id -- or BullMQ's own tools have removed it
end
local made, keys, fresh, found, again, asked = {}, {}, 0, {}, {}, {}
for i, task in ipairs(p.tasks) do
  local id, k = task.id, base(task.queue)
  local byId, byKey
  -- It was stored, and only the answer was lost.
  if task.new and call('EXISTS', k .. id) == 1 then again[i], byKey = true, id
  elseif not task.new then
    byId = made[id] or find(id)
    if byId and byId ~= task.queue then return { 'name', id, byId } end
    -- The same, where the id is not a new one.
    again[i] = byId and not made[id] and not asked[id] and call('HGET', k .. id, 'br:by') == request
    asked[id] = true
  end
  if task.key and not byKey then byKey = keys[task.queue .. ' ' .. task.key] or keyed(k, task.key) end
  if byId and byKey and byKey ~= id then return { 'key', id } end
  local same = byKey or (byId and id)
  if same then found[i] = same
  else
    for _, parent in ipairs(task.after or {}) do
      if not made[parent] and not find(parent) then return { 'unknown', parent } end
    end
    fresh = fresh + 1
    made[id] = task.queue
    if task.key then keys[task.queue .. ' ' .. task.key] = id end
  end
end
if p.maxPending and fresh > 0 then
  local pending = 0
  for _, queue in ipairs(call('SMEMBERS', B .. 'queues')) do
    pending = pending + waiting(base(queue)) + call('ZCARD', base(queue) .. 'delayed')
  end
  if pending + fresh > p.maxPending then return { 'full', pending } end
end
local known = {}
local answer = { 'stored' }
local cancelled, telling = {}, 0
for i, task in ipairs(p.tasks) do
  local id, queue = task.id, task.queue
  local k = base(queue)
  if found[i] then answer[#answer + 1] = { found[i], again[i] and 0 or 1 }
  else
    if not known[queue] then
      known[queue] = true
      if call('SADD', B .. 'queues', queue) == 1 then
        if call('EXISTS', B .. 'pause') == 1 then call('HSET', k .. 'meta', 'paused', 1) end
        call('PUBLISH', B .. 'all', me .. ' queues')
      end
      promote(k, 1000)
    end
    local delayed = task.delay > 0
    local blocked, failed = 0, nil
    if task.after then blocked, failed = follow(queue, id, task.after) end
    local args = { k, id, task.name, now }
    local opts = { priority = task.priority, attempts = task.attempts, delay = delayed and task.delay or nil }
    local argv = { args, ARGV[raw + 2 * i - 1], opts }
    if delayed then
      bull.addDelayedJob({ k .. 'marker', k .. 'meta', k .. 'id', k .. 'delayed', k .. 'completed', k .. 'events' }, argv)
    elseif blocked > 0 then
      bull.addParentJob({ k .. 'meta', k .. 'id', k .. 'delayed', k .. 'waiting-children', k .. 'completed', k .. 'events' }, argv)
    else
      bull.addPrioritizedJob({ k .. 'marker', k .. 'meta', k .. 'id', k .. 'prioritized', k .. 'delayed', k .. 'completed',
        k .. 'active', k .. 'events', k .. 'pc' }, argv)
    end
    local seq = call('INCR', B .. 'seq')
    call('ZADD', k .. 'br:index', seq, id)
    local br = ARGV[raw + 2 * i]
    if br ~= '' then call('HSET', k .. id, 'br', br) end
    if not task.new then call('HSET', k .. id, 'br:by', request) end
    if blocked > 0 then call('HSET', k .. id, 'br:blocked', blocked) end
    if task.key then call('HSET', k .. 'br:keys', task.key, id) end
    for _, tag in ipairs(task.tags or {}) do call('ZADD', k .. 'br:tag:' .. tag, seq, id) end
    if task.key or task.tags then call('HSET', k .. 'br:beside', id, msgpack.pack(task.key or false, task.tags or false)) end
    if failed and not task.run then
      call('HSET', k .. id, 'br:end', failed)
      endWaiting(queue, id, 'cancelled')
      cancelled[#cancelled + 1] = queue .. ' ' .. id
    else told(id) end
    answer[#answer + 1] = { id, 0 }
  end
end
if p.schedule then
  call('HSET', B .. 'schedules', p.schedule.id, ARGV[6])
  call('PUBLISH', B .. 'all', me .. ' schedules')
end
answer[#answer + 1] = cancelled
return answer
`

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

/** Rows of `ids`, wherever they are; of `jobs`, where they are known to be. */
export const READ = `
local rows = {}
for i, id in ipairs(p.ids or {}) do
  local queue = find(id)
  rows[i] = queue and row(queue, id) or false
end
for i, job in ipairs(p.jobs or {}) do rows[#rows + 1] = row(job[1], job[2]) end
return rows
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

/**
 * One step of a task's life by a verb, if it is still as it was read: in `state`, at `attempt`, with the `br:now` and the
 * cancel of ARGV 5 and 6. ARGV 7: the new `br:now`; 8: the cancel. False: it is not, unless `request` has changed it.
 */
export const AMEND = `
local queue, id = p.queue, p.id
local k, job = base(p.queue), base(p.queue) .. p.id
local request = me .. ':' .. p.request
-- Done already, and only the answer was lost?
local function again()
  return (call('HGET', job, 'br:by') == request or call('EXISTS', B .. 'did:' .. request) == 1) and { 1 }
end
if stateOf(k, id) ~= p.state then return again() end
local is = call('HMGET', job, 'br:now', 'br:cancel', 'ats')
if (is[1] or '') ~= ARGV[5] or (is[2] or '') ~= ARGV[6] or (tonumber(is[3]) or 0) ~= p.attempt then return again() end
call('HSET', job, 'br:by', request)
if p.op == 'mark' then
  call('HSET', job, 'br:cancel', ARGV[8])
  local worker = call('GET', job .. ':lock')
  if worker then call('PUBLISH', B .. 'w:' .. worker, 'cancel ' .. id) end
  told(id)
  return { 0 }
end
if ARGV[7] ~= '' then call('HSET', job, 'br:now', ARGV[7]) end
if p.op == 'cancel' or p.op == 'fail' then call('HDEL', job, 'br:died') end
if p.op == 'cancel' then
  call('HSET', job, 'br:cancel', ARGV[8])
  return { endWaiting(queue, id, 'cancelled') }
elseif p.op == 'fail' then
  local over = endWaiting(queue, id, p.reason)
  call('ZREM', k .. 'br:cancelled', id)
  return { over }
elseif p.op == 'priority' then
  local score = call('ZSCORE', k .. 'prioritized', id)
  if score then call('ZADD', k .. 'prioritized', p.priority * SLOT + tonumber(score) % SLOT, id) end
  call('HSET', job, 'priority', p.priority)
  told(id)
elseif p.op == 'retry' then
  call('HDEL', job, 'br:cancel', 'br:end', 'br:died', 'br:blocked', 'progress')
  call('ZREM', k .. 'br:cancelled', id)
  promote(k, 1000)
  bull.reprocessJob(
    { job, k .. 'events', k .. 'failed', k .. 'wait', k .. 'meta', k .. 'active', k .. 'marker', k .. 'prioritized', k .. 'pc' },
    { id, 'LPUSH', 'failedReason', 'failed', '1', '0' })
  local blocked = 0
  if p.after then blocked = follow(queue, id, p.after) end
  if blocked > 0 then call('HSET', job, 'br:blocked', blocked) end
  if p.runAt > now or blocked > 0 then
    call('ZREM', k .. 'prioritized', id)
    call('LREM', k .. 'wait', 0, id)
    if p.runAt > now then later(k, id, p.runAt) else call('ZADD', k .. 'waiting-children', now, id) end
  end
  told(id)
elseif p.op == 'remove' then
  forget(queue, id)
  bull.removeJob({ job, k .. 'repeat' }, { id, 0, k })
  call('SET', B .. 'did:' .. request, 1, 'EX', 300)
  told(id)
end
return { 0 }
`

/** Tells those that come after ended jobs, \`most\` of them: which were cancelled, whether any was freed, and whether more are left. */
export const TELL = `
local left, freed, cancelled = p.most, 0, {}
while left > 0 do
  local entry = call('LINDEX', B .. 'telling', 0)
  if not entry then break end
  local parentQueue, parent, state = string.match(entry, '^(%S+) (%S+) (%S+)$')
  local list = B .. 'after:' .. parentQueue .. ':' .. parent
  local children = call('LRANGE', list, 0, left - 1)
  if #children > 0 then call('LTRIM', list, #children, -1) end
  for _, each in ipairs(children) do
    local queue, id = string.match(each, '^(%S+) (%S+)$')
    local k = base(queue)
    local fields = call('HMGET', k .. id, 'br:blocked', 'priority', 'br')
    local blocked = tonumber(fields[1]) or 0
    local isDelayed = call('ZSCORE', k .. 'delayed', id)
    if blocked > 0 and (isDelayed or call('ZSCORE', k .. 'waiting-children', id)) then
      local run = state == 'succeeded' or json(fields[3]).onParentFailure == 'run'
      if not run then
        call('HSET', k .. id, 'br:end', state .. ' ' .. parent)
        endWaiting(queue, id, 'cancelled')
        cancelled[#cancelled + 1] = each
      else
        call('HSET', k .. id, 'br:blocked', blocked - 1)
        if blocked == 1 and not isDelayed then
          call('ZREM', k .. 'waiting-children', id)
          wait(k, id, tonumber(fields[2]) or 0)
          event(k, 'waiting', id, 'waiting-children')
          freed = freed + 1
        end
        told(id)
      end
    end
  end
  left = left - #children - 1
  if call('EXISTS', list) == 0 then call('LPOP', B .. 'telling') end
end
return { cancelled, freed, call('LLEN', B .. 'telling') }
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

/**
 * Looks for jobs whose worker is gone, at most once an interval for all workers together, and puts them back. And for those
 * that BullMQ's own tools have removed, of which nobody tells: what is kept of them is forgotten, and who comes after them is told.
 * Gives all of them as `{ queue, job }`.
 */
export const BURY = `
local found = {}
for _, entry in ipairs(call('ZRANGEBYSCORE', B .. 'parents', '-inf', now - p.interval, 'LIMIT', 0, 1000)) do
  local queue, id = string.match(entry, '^(%S+) (%S+)$')
  if call('EXISTS', base(queue) .. id) == 1 then call('ZADD', B .. 'parents', now, entry)
  else
    ended(queue, id, 'removed')
    told(id)
    found[#found + 1] = { queue, id }
  end
end
-- Forgets jobs that are gone, some at a time, where there are more in the index than in the queue.
local function sweep(queue)
  local k = base(queue)
  local jobs = call('LLEN', k .. 'wait') + call('LLEN', k .. 'active') + call('LLEN', k .. 'paused')
  for _, set in ipairs({ 'prioritized', 'delayed', 'waiting-children', 'completed', 'failed' }) do
    jobs = jobs + call('ZCARD', k .. set)
  end
  if call('ZCARD', k .. 'br:index') <= jobs then return call('DEL', k .. 'br:looked') end
  local from = call('GET', k .. 'br:looked') or '-inf'
  local entries = call('ZRANGEBYSCORE', k .. 'br:index', from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1000)
  for i = 1, #entries, 2 do
    if call('EXISTS', k .. entries[i]) == 0 then
      forget(queue, entries[i])
      told(entries[i])
      found[#found + 1] = { queue, entries[i] }
    end
  end
  if #entries < 2000 then call('DEL', k .. 'br:looked') else call('SET', k .. 'br:looked', entries[#entries]) end
end
for _, queue in ipairs(call('SMEMBERS', B .. 'queues')) do
  local k = base(queue)
  -- Its worker gave up on it, and is gone: nobody keeps it any more.
  for _, id in ipairs(call('LRANGE', k .. 'active', 0, -1)) do
    local worker = call('HGET', k .. id, 'br:left')
    if worker and call('PUBSUB', 'NUMSUB', B .. 'w:' .. worker)[2] == 0 then
      call('DEL', k .. id .. ':lock', k .. 'stalled-check')
      call('SADD', k .. 'stalled', id)
    end
  end
  if call('EXISTS', k .. 'stalled-check') == 0 then
    for _, id in ipairs(call('SMEMBERS', k .. 'stalled')) do
      if call('EXISTS', k .. id .. ':lock') == 0 and call('EXISTS', k .. id) == 1 and call('LPOS', k .. 'active', id) then
        local fields = call('HMGET', k .. id, 'ats', 'processedOn', 'br:died', 'br:left', 'br:alone')
        local _, deaths = string.gsub(fields[3] or '', ':died:', '')
        -- A suspect that did not run, but was about to be put back, has not died of itself.
        local counts = not fields[4] and (deaths < 2 or fields[5] == fields[1])
        local line = fields[1] .. ':' .. fields[2] .. ':' .. (counts and 'died' or 'left') .. ':' .. now
        call('HSET', k .. id, 'br:died', fields[3] and (fields[3] .. ',' .. line) or line)
        call('HDEL', k .. id, 'br:left')
      end
    end
    sweep(queue)
    local ids = bull.moveStalledJobsToWait(
      { k .. 'stalled', k .. 'wait', k .. 'active', k .. 'stalled-check', k .. 'meta', k .. 'paused', k .. 'marker',
        k .. 'events', k .. 'repeat' }, { 1000000000, k, ARGV[2], p.interval })
    for _, id in ipairs(ids) do
      -- BullMQ puts it before all others; here it goes first among its equals.
      local priority = tonumber(call('HGET', k .. id, 'priority')) or 0
      if priority > 0 and call('LREM', k .. 'wait', 1, id) > 0 then call('ZADD', k .. 'prioritized', priority * SLOT, id) end
      told(id)
      found[#found + 1] = { queue, id }
    end
  end
end
return found
`

/**
 * What there is to do: `{ ready, next, busy, more, telling, followed }`. `next` is '' where nothing is to come; `busy` is 3 where any
 * runs, 2 where any waits, 1 where any is scheduled.
 */
export const OUTLOOK = `
local paused = call('EXISTS', B .. 'pause') == 1
local held = call('EXISTS', B .. 'holds') == 1
local ready, nextDue, busy, more = 0, nil, 0, false
local mine = {}
for _, queue in ipairs(p.queues) do mine[queue] = true end
for _, queue in ipairs(call('SMEMBERS', B .. 'queues')) do
  local k = base(queue)
  if not promote(k, 200) then more = true end
  local first = call('ZRANGE', k .. 'delayed', 0, 0, 'WITHSCORES')[2]
  local due = call('ZCARD', k .. 'prioritized') + call('LLEN', k .. 'wait')
  if call('LLEN', k .. 'active') > 0 then busy = 3
  elseif busy < 2 and (due > 0 or call('EXISTS', k .. 'waiting-children') == 1) then busy = 2
  elseif busy < 1 and first then busy = 1 end
  if mine[queue] then
    if first then
      local at = math.floor(tonumber(first) / 0x1000)
      if not nextDue or at < nextDue then nextDue = at end
    end
    if due > 0 and held and call('SISMEMBER', B .. 'holds', queue) == 1 then
      local till = tonumber(call('HGET', B .. 'hold:' .. queue, 'until'))
      if till > now and (not nextDue or till < nextDue) then nextDue = till end
      due = isHeld(queue) and 0 or 1
    end
    local ms = due > 0 and closed(k)
    if not ms then ready = ready + due
    elseif ms < math.huge and (not nextDue or now + ms < nextDue) then nextDue = now + ms end
  end
end
if paused or more then ready = 0 end
return { ready, nextDue or '', busy, more and 1 or 0, call('LLEN', B .. 'telling'), call('EXISTS', B .. 'parents') }
`

/** How many are in each state: queued, scheduled, running, succeeded, failed, cancelled. */
export const COUNTS = `
local sums = { 0, 0, 0, 0, 0, 0 }
for _, queue in ipairs(call('SMEMBERS', B .. 'queues')) do
  local k = base(queue)
  local cancelled = math.min(call('ZCARD', k .. 'br:cancelled'), call('ZCARD', k .. 'failed'))
  sums[1] = sums[1] + waiting(k)
  sums[2] = sums[2] + call('ZCARD', k .. 'delayed')
  sums[3] = sums[3] + call('LLEN', k .. 'active')
  sums[4] = sums[4] + call('ZCARD', k .. 'completed')
  sums[5] = sums[5] + call('ZCARD', k .. 'failed') - cancelled
  sums[6] = sums[6] + cancelled
end
return sums
`

/**
 * Part of a page, newest first: `{ { seq, queue, job }…, reached }`. What it has not looked at yet lies below \`reached\`
 * (0: nothing). Each call looks at no more than a few thousand jobs, so that nobody else waits for long.
 */
export const LIST = `
local hits, reached = {}, 0
local wanted = {}
for _, state in ipairs(p.states or {}) do wanted[state] = true end
local tags = p.tags or {}
local queues = p.queues or call('SMEMBERS', B .. 'queues')
local budget = math.max(p.limit, math.floor(4000 / math.max(1, #queues)))
local function fits(queue, id)
  local k = base(queue)
  for _, tag in ipairs(tags) do if not call('ZSCORE', k .. 'br:tag:' .. tag, id) then return false end end
  local state = stateOf(k, id)
  if not state then forget(queue, id) end -- BullMQ's own tools have removed it
  return state and (not p.states or wanted[state])
end
local SETS = { scheduled = { 'delayed' }, succeeded = { 'completed' }, failed = { 'failed' }, cancelled = { 'br:cancelled' },
  queued = { 'prioritized', 'waiting-children' } }
local LISTS = { queued = 'wait', running = 'active' }
for _, queue in ipairs(queues) do
  local k = base(queue)
  local size = 0
  for state in pairs(wanted) do
    for _, set in ipairs(SETS[state] or {}) do size = size + call('ZCARD', k .. set) end
    if LISTS[state] then size = size + call('LLEN', k .. LISTS[state]) end
  end
  if p.states and size <= 1000 then
    local seen = {} -- what was cancelled is in \`failed\` too
    local function look(ids)
      for _, id in ipairs(ids) do
        local seq = not seen[id] and tonumber(call('ZSCORE', k .. 'br:index', id))
        seen[id] = true
        if seq and seq < p.before and fits(queue, id) then hits[#hits + 1] = { seq, queue, id } end
      end
    end
    for state in pairs(wanted) do
      for _, set in ipairs(SETS[state] or {}) do look(call('ZRANGE', k .. set, 0, -1)) end
      if LISTS[state] then look(call('LRANGE', k .. LISTS[state], 0, -1)) end
    end
  else
    local index = k .. 'br:index'
    for _, tag in ipairs(tags) do
      if call('ZCARD', k .. 'br:tag:' .. tag) < call('ZCARD', index) then index = k .. 'br:tag:' .. tag end
    end
    local before, looked, found = p.before, 0, 0
    while found < p.limit do
      local ids = call('ZREVRANGEBYSCORE', index, '(' .. before, '-inf', 'WITHSCORES', 'LIMIT', 0, 200)
      for i = 1, #ids, 2 do
        before = tonumber(ids[i + 1])
        if found < p.limit and fits(queue, ids[i]) then
          hits[#hits + 1] = { before, queue, ids[i] }
          found = found + 1
        end
      end
      if #ids < 400 then before = 0 break end
      looked = looked + 200
      if looked >= budget then break end
    end
    if found >= p.limit then before = hits[#hits][1] end
    if before > reached then reached = before end
  end
end
hits[#hits + 1] = reached
return hits
`

/** Removes some of what is over the retention: the ids. Parameters: until when each state is over, \`count\`, \`most\`. */
export const PRUNE = `
local gone = {}
local queues = call('SMEMBERS', B .. 'queues')
local function remove(queue, id)
  local k = base(queue)
  forget(queue, id)
  bull.removeJob({ k .. id, k .. 'repeat' }, { id, 0, k })
  told(id)
  gone[#gone + 1] = id
end
local function over(queue, set, state, from, till)
  local k = base(queue)
  for _, id in ipairs(call('ZRANGEBYSCORE', k .. set, from, till, 'LIMIT', 0, p.most)) do
    if #gone >= p.most then return end
    if stateOf(k, id) == state then remove(queue, id)
    elseif state == 'cancelled' then call('ZREM', k .. set, id) end -- other tools have retried or removed it
  end
end
-- The oldest that failed may lie behind any number of cancelled ones, which are kept for longer: when that was.
local function firstFailed(k, till)
  local function any(at)
    return call('ZCOUNT', k .. 'failed', '-inf', at) > call('ZCOUNT', k .. 'br:cancelled', '-inf', at)
  end
  if not any(till) then return end
  local low, high = 0, till
  while low < high do
    local middle = math.floor((low + high) / 2)
    if any(middle) then high = middle else low = middle + 1 end
  end
  return low
end
for _, queue in ipairs(queues) do
  over(queue, 'completed', 'succeeded', '-inf', p.succeeded)
  over(queue, 'br:cancelled', 'cancelled', '-inf', p.cancelled)
  local from = firstFailed(base(queue), p.failed)
  if from then over(queue, 'failed', 'failed', from, p.failed) end
end
if p.count and #gone == 0 then
  local finished = 0
  for _, queue in ipairs(queues) do
    finished = finished + call('ZCARD', base(queue) .. 'completed') + call('ZCARD', base(queue) .. 'failed')
  end
  while finished > p.count and #gone < p.most do
    local first, firstQueue, at
    for _, queue in ipairs(queues) do
      for _, set in ipairs({ 'completed', 'failed' }) do
        local oldest = call('ZRANGE', base(queue) .. set, 0, 0, 'WITHSCORES')
        if oldest[1] and (not at or tonumber(oldest[2]) < at) then
          first, firstQueue, at = oldest[1], queue, tonumber(oldest[2])
        end
      end
    end
    remove(firstQueue, first)
    finished = finished - 1
  end
end
return gone
`

/** The whole engine, and BullMQ's own pause of each queue, which its dashboards show. */
export const PAUSE = `
if p.paused then call('SET', B .. 'pause', 1) else call('DEL', B .. 'pause') end
for _, queue in ipairs(call('SMEMBERS', B .. 'queues')) do
  local k = base(queue)
  bull.pause(
    { k .. (p.paused and 'wait' or 'paused'), k .. (p.paused and 'paused' or 'wait'), k .. 'meta', k .. 'prioritized',
      k .. 'events', k .. 'delayed', k .. 'marker' }, { p.paused and 'paused' or 'resumed', '1' })
end
call('PUBLISH', B .. 'all', me .. ' paused')
return 1
`

/** Each queue that is held: name, until, error. */
export const HOLDS = `
local holds = {}
for i, queue in ipairs(call('SMEMBERS', B .. 'holds')) do
  holds[i] = call('HMGET', B .. 'hold:' .. queue, 'name', 'until', 'error')
end
return holds
`

/** What keeps a task that waits. */
export const EXPLAIN = `
local k = base(p.queue)
local id = p.id
local ahead = 0
local score = call('ZSCORE', k .. 'prioritized', id)
if score then ahead = call('ZRANK', k .. 'prioritized', id) + call('LLEN', k .. 'wait')
else ahead = call('LLEN', k .. 'wait') - 1 - (call('LPOS', k .. 'wait', id) or -1) end
local after = {}
if (tonumber(call('HGET', k .. id, 'br:blocked')) or 0) > 0 then
  for _, parent in ipairs(json(call('HGET', k .. id, 'br')).after) do
    local queue = find('t-' .. parent)
    if queue and not hasEnded(stateOf(base(queue), 't-' .. parent)) then after[#after + 1] = parent end
  end
end
local hold = isHeld(p.queue) and call('HMGET', B .. 'hold:' .. p.queue, 'until', 'error') or false
-- Who knows a name listens on a channel of it.
local workers = call('PUBSUB', 'NUMSUB', B .. 'knows:' .. p.queue)[2]
return { call('EXISTS', B .. 'pause') == 1 and 1 or (isPaused(k) and 1 or 0), after, hold, workers, ahead }
`

/** Each schedule, as its JSON. */
export const SCHEDULES = `
return call('HVALS', B .. 'schedules')
`

/** Swaps one field of a hash if it is as it was read ('' : not there), or was by `request`. Raw: as it was, as it will be ('': gone). */
export const SWAP = `
local did = B .. 'did:' .. me .. ':' .. p.request
if (call('HGET', B .. p.key, p.field) or '') ~= ARGV[5] then return call('EXISTS', did) end
if ARGV[6] == '' then
  call('HDEL', B .. p.key, p.field)
  call('SET', did, 1, 'EX', 300)
else call('HSET', B .. p.key, p.field, ARGV[6]) end
call('PUBLISH', B .. 'all', me .. ' ' .. p.key)
return 1
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
