/** Scripts for verbs: submitting, asking and steering. lua.ts says what they find around them. */

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
