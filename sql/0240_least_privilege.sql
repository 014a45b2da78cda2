-- SPDX-License-Identifier: MIT
--
-- What no worker does is the owner's alone: to make and revoke keys, to set up servers
-- and their models, to change what was used.

REVOKE INSERT, UPDATE, DELETE ON api_keys, server_models FROM warmfront_worker;
REVOKE INSERT, DELETE ON servers FROM warmfront_worker;
REVOKE UPDATE, DELETE ON usage_events FROM warmfront_worker;
