-- Adds what a person did to the story of a case in another partition than the delivery, once for each act.
-- KEYS: the partition's, then the story.
-- ARGV: field of the act, case id, event.
-- Returns {'done'}.
local story, field, case, event = key(), arg(), arg(), arg()
if redis.call('HEXISTS', cases, case) == 1 and redis.call('HSETNX', acts, field, '') == 1 then
  redis.call('RPUSH', story, event)
end
return { 'done' }
