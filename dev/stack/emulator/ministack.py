"""Serves MiniStack on a Unix socket, which is the first argument: MiniStack itself can
only listen on a port, and answers everybody who reaches that. Who stands in front of it
is at GATEWAY_PORT.

Functions get their events from servers on ports of their own (Lambda's runtime API).
Those ask for the secret in RUNTIME_API_SECRET as the first part of the path, and refuse
browsers. It is no argument, for every user of the machine sees those. Functions have it in
AWS_LAMBDA_RUNTIME_API."""

import asyncio
import http.server
import os
import resource
import subprocess
import sys

socket, secret = sys.argv[1], os.environ.pop("RUNTIME_API_SECRET")

start_program = subprocess.Popen.__init__


def with_secret(self, *args, env=None, **options):
    if env and "AWS_LAMBDA_RUNTIME_API" in env:
        env = {**env, "AWS_LAMBDA_RUNTIME_API": env["AWS_LAMBDA_RUNTIME_API"] + "/" + secret}
    start_program(self, *args, env=env, **options)


subprocess.Popen.__init__ = with_secret

parse_request = http.server.BaseHTTPRequestHandler.parse_request


def parse_guarded(self):
    if not parse_request(self):
        return False
    host = "%s:%d" % self.server.server_address[:2]
    browser = "Origin" in self.headers or "Sec-Fetch-Site" in self.headers
    if browser or self.headers.get("Host") != host or not self.path.startswith("/" + secret + "/"):
        self.send_error(403)
        return False
    self.path = self.path[len(secret) + 1 :]
    return True


http.server.BaseHTTPRequestHandler.parse_request = parse_guarded

from hypercorn.asyncio import serve  # noqa: E402 -- after the changes above
from hypercorn.config import Config  # noqa: E402

from ministack.app import LOG_LEVEL, app  # noqa: E402

_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
except (ValueError, OSError):
    pass

os.umask(0o077)
config = Config()
config.bind = ["unix:" + socket]
config.keep_alive_timeout = 75
config.loglevel = LOG_LEVEL.upper()
asyncio.run(serve(app, config))
