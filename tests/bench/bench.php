<?php
// SPDX-License-Identifier: MIT
// A hit as PHP-FPM and phpredis serve it.
$redis = new Redis();
$redis->pconnect($_SERVER['REDIS_SOCKET']);
$body = $redis->get('bench:' . ($_GET['gateway'] ?? ''));
if ($body === false) {
	http_response_code(404);
	exit;
}
header('Content-Type: application/json; charset=utf-8');
header('Content-Length: ' . strlen($body));
echo $body;
