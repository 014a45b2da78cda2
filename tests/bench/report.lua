-- SPDX-License-Identifier: MIT
-- One line for wrk's caller: requests, microseconds, p50 and p99 in microseconds,
-- errors (of sockets, statuses over 399, timeouts), bytes.
function done(summary, latency)
	local e = summary.errors
	io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests,
		summary.duration, latency:percentile(50), latency:percentile(99),
		e.connect + e.read + e.write + e.status + e.timeout,
		summary.bytes))
end
