// SPDX-License-Identifier: MIT
// A hit as Node and ioredis serve it: a process for each CPU behind proxy_pass.
'use strict';
const cluster = require('cluster');
const fs = require('fs');
const http = require('http');
const os = require('os');

if (cluster.isPrimary) {
	for (let i = 0; i < os.cpus().length; i++)
		cluster.fork();
	cluster.on('exit', () => process.exit(1));
} else {
	const Redis = require('ioredis');
	const redis = new Redis({ path: process.env.REDIS_SOCKET });
	http.createServer(async (request, response) => {
		const url = new URL(request.url, 'http://localhost');
		const key = 'bench:' + url.searchParams.get('gateway');
		const body = await redis.getBuffer(key).catch(() => null);
		if (body === null) {
			response.writeHead(404).end();
			return;
		}
		response.writeHead(200, {
			'Content-Type': 'application/json; charset=utf-8',
			'Content-Length': body.length,
		});
		response.end(body);
	}).listen(process.argv[2], () => fs.chmodSync(process.argv[2], 0o666));
}
